import { TaskGroup } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import { WorkerFacts } from '../kv/fleet/worker-facts.ts';
import type { InstanceView } from '../local-router.ts';
import { withoutBusy } from './busy-instance-view.ts';
import { BusyMonitor } from './busy-monitor.ts';
import type { BusyThresholds } from './busy-thresholds.ts';

/** Settings of {@link BusyInstances}. */
export interface BusyInstancesOptions {
  readonly runtime: DistributedRuntime;
  readonly instances: InstanceView;
  readonly thresholds: BusyThresholds;
  /** Whose thresholds apply. */
  readonly model: string;
  readonly metrics?: MetricsRegistry | undefined;
  readonly logger: Logger;
}

/**
 * Instances of which those over the busy thresholds are not free, by what they report themselves: for a process that
 * leaves the choice to a router service, or chooses without counting blocks.
 */
export class BusyInstances implements AsyncDisposable {
  readonly view: InstanceView;
  readonly #instances: InstanceView;
  readonly #monitor: BusyMonitor;
  readonly #tasks: TaskGroup;
  #ids: readonly InstanceId[] = [];
  #known: ReadonlySet<InstanceId> = new Set();

  constructor(options: BusyInstancesOptions) {
    const { runtime, instances, thresholds, model, metrics, logger } = options;
    const { path } = instances;
    const models = [model];
    this.#instances = instances;
    const { discovery, events } = runtime;
    const facts = new WorkerFacts({ path, discovery, logger, onChange: () => undefined });
    this.#monitor = new BusyMonitor({
      thresholds,
      models: () => models,
      modelsOf: () => models,
      limitsOf: (id) => (this.#isKnown(id) ? facts.get(id) : undefined),
      path,
      events,
      metrics,
      logger,
    });
    this.view = withoutBusy(instances, this.#monitor);
    this.#tasks = new TaskGroup({
      name: 'busy instances',
      onError: (error, task) => {
        logger.error('limits of workers are not followed any more', { task, error });
      },
    });
    this.#tasks.start('follow model cards', (signal) => facts.follow(signal));
    this.#monitor.start();
  }

  /** Whether all instances that could take requests are busy. */
  isExhausted(): boolean {
    return this.view.free().length === 0 && this.#instances.free().length > 0;
  }

  /** Stops following. Idempotent. */
  async close(): Promise<void> {
    await this.#tasks.close();
    await this.#monitor.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #isKnown(id: InstanceId): boolean {
    const ids = this.#instances.instanceIds();
    if (ids !== this.#ids) {
      this.#ids = ids;
      this.#known = new Set(ids);
    }
    return this.#known.has(id);
  }
}
