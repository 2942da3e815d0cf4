/** Newest load of every worker, for programs that choose workers themselves. Filled by its owner, or by the workers. */
import { TaskGroup, asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { ActiveLoad, LOAD_METRICS_TOPIC, formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { DistributedRuntime } from '@dynamo-ts/runtime';

/** Load of a worker, over all its ranks. */
export interface WorkerMetrics {
  /** Requests that run. */
  readonly requestActiveSlots: number;
  readonly numRequestsWaiting: number;
  /** Blocks that requests hold. */
  readonly kvActiveBlocks: number;
  /** 0 is unknown. */
  readonly kvTotalBlocks: number;
  /** Prompt tokens not computed yet. */
  readonly activePrefillTokens: number;
  /** Share of the blocks that requests hold; 0 while the number of blocks is unknown. */
  readonly gpuCacheUsageRatio: number;
}

/** Metrics by worker. */
export class KvMetricsAggregator implements AsyncDisposable {
  readonly #metrics = new Map<InstanceId, WorkerMetrics>();
  #stop: () => Promise<void> = () => Promise.resolve();

  /** An aggregator that follows what the workers of an endpoint publish, and forgets those that leave. */
  static async subscribe(
    runtime: DistributedRuntime,
    path: EndpointPath,
  ): Promise<KvMetricsAggregator> {
    const aggregator = new KvMetricsAggregator();
    const ranks = new RankLoads();
    const present = new Set<InstanceId>();
    const client = await runtime.endpoint(formatEndpointPath(path)).client();
    const tasks = new TaskGroup({
      name: 'worker metrics',
      onError: (error) => runtime.logger.error('worker metrics are not followed', { error }),
    });
    const scope = { namespace: path.namespace, component: path.component };
    const topic = { scope, topic: LOAD_METRICS_TOPIC };
    const subscription = runtime.events.subscribe(topic, { signal: tasks.signal });
    tasks.start('follow', async () => {
      for await (const { payload } of subscription) {
        const load = tryDecode(payload);
        const workerId = asInstanceId(load?.workerId ?? 0n);
        // Other endpoints of the component publish under the same topic, and workers after they have left.
        if (load !== undefined && present.has(workerId))
          aggregator.update(workerId, ranks.take(workerId, load));
      }
    });
    const off = client.onInstances(({ kind, instance }) => {
      const workerId = asInstanceId(instance.instanceId);
      if (kind === 'added') {
        present.add(workerId);
        return;
      }
      present.delete(workerId);
      ranks.remove(workerId);
      aggregator.remove(workerId);
    });
    aggregator.#stop = async () => {
      off();
      await tasks.close();
      await client.close();
    };
    return aggregator;
  }

  /** Sets the metrics of a worker. */
  update(workerId: InstanceId, metrics: WorkerMetrics): void {
    this.#metrics.set(workerId, metrics);
  }

  /** Forgets a worker. */
  remove(workerId: InstanceId): void {
    this.#metrics.delete(workerId);
  }

  /** Metrics of all workers that said anything. */
  getMetrics(): ReadonlyMap<InstanceId, WorkerMetrics> {
    return new Map(this.#metrics);
  }

  /** Metrics of one worker; undefined for one that said nothing. */
  getWorkerMetrics(workerId: InstanceId): WorkerMetrics | undefined {
    return this.#metrics.get(workerId);
  }

  /** Follows nothing any more. Idempotent. */
  async close(): Promise<void> {
    await this.#stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Newest load of every rank. */
class RankLoads {
  readonly #byWorker = new Map<InstanceId, Map<number, ActiveLoad>>();

  /** Takes the load of a rank. @returns what its worker has in all */
  take(workerId: InstanceId, load: ActiveLoad): WorkerMetrics {
    const ranks = this.#byWorker.get(workerId) ?? new Map<number, ActiveLoad>();
    this.#byWorker.set(workerId, ranks.set(load.dpRank, load));
    return totalOf([...ranks.values()]);
  }

  remove(workerId: InstanceId): void {
    this.#byWorker.delete(workerId);
  }
}

function totalOf(ranks: readonly ActiveLoad[]): WorkerMetrics {
  const sum = (of: (load: ActiveLoad) => number): number =>
    ranks.reduce((total, load) => total + of(load), 0);
  const kvActiveBlocks = sum((load) => load.activeDecodeBlocks);
  const kvTotalBlocks = sum((load) => load.totalKvBlocks);
  return {
    requestActiveSlots: sum((load) => load.activeRequests),
    numRequestsWaiting: sum((load) => load.waitingRequests),
    kvActiveBlocks,
    kvTotalBlocks,
    activePrefillTokens: sum((load) => load.activePrefillTokens),
    gpuCacheUsageRatio: kvTotalBlocks > 0 ? kvActiveBlocks / kvTotalBlocks : 0,
  };
}

/** Undefined for bytes that are no load. */
function tryDecode(payload: Uint8Array): ActiveLoad | undefined {
  try {
    return ActiveLoad.decode(payload);
  } catch {
    return undefined;
  }
}
