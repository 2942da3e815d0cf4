/**
 * Makes the routers of a process, one per endpoint and block size, with queue, affinity, shared load and busy thresholds as the
 * configuration says. What they have in common is here: thresholds, queue classes, the decision log.
 */
import { deadlineSignal, throwIfAborted } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import { SessionAffinity } from '../affinity/session-affinity.ts';
import { BusyMonitor } from '../busy/busy-monitor.ts';
import { BusyThresholds } from '../busy/busy-thresholds.ts';
import { profileFor, readPolicyConfig } from '../queue/policy-config.ts';
import type { PolicyConfig } from '../queue/policy-config.ts';
import { defaultProfile } from '../queue/policy-profile.ts';
import { ModelQueues } from '../queue/model-queues.ts';
import { SchedulerQueue } from '../queue/scheduler-queue.ts';
import { BookingsDesk } from '../replica/bookings-desk.ts';
import { ReplicaSync } from '../replica/replica-sync.ts';
import type { PlacementHost } from './collaborators.ts';
import { DecisionFile, prepareDecisionFile } from './decisions/decision-file.ts';
import { kvRouterSettings } from './kv-router-config.ts';
import type { KvRouterConfig } from './kv-router-config.ts';
import type { CollaboratorSeat, KvRouterOptions } from './kv-router-parts.ts';
import { KvRouter } from './kv-router.ts';
import type { ModelRouter } from './models/model-router.ts';
import { SharedRouters } from './models/shared-routers.ts';
import type { JoinedRouter, RoutedPool } from './models/shared-routers.ts';

/** Settings of a {@link KvRouterFactory}. */
export interface KvRouterFactoryOptions {
  readonly config: KvRouterConfig;
  readonly runtime: DistributedRuntime;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  /** Longest wait for the workers that must be there at first. @default 10 000 */
  readonly restoreMs?: number | undefined;
}

const NO_MODELS: readonly string[] = [];
const MIB = 1024 * 1024;
/** Requests are served without those that are missing then. */
const RESTORE_MS = 10_000;

/** The routers of one process. */
export class KvRouterFactory implements AsyncDisposable {
  /** Busy thresholds by model; may be changed while routers run. */
  readonly thresholds: BusyThresholds;
  readonly #options: KvRouterFactoryOptions;
  readonly #policies: PolicyConfig | undefined;
  /** Opened with the first router: a frontend that asks a router service has none. */
  #decisionFile: DecisionFile | undefined;
  /** Where its routers answer those of other processes. */
  readonly #desk: BookingsDesk;
  readonly #shared = new SharedRouters((pool) => this.#open(pool));

  private constructor(options: KvRouterFactoryOptions, policies: PolicyConfig | undefined) {
    this.#options = options;
    this.#policies = policies;
    this.#desk = new BookingsDesk(options);
    this.thresholds = new BusyThresholds({ defaults: options.config });
  }

  /** Reads the file of queue classes and makes that of decisions, if they are named. @throws `config.invalid` for what is wrong with one of them or a threshold */
  static create(options: KvRouterFactoryOptions): KvRouterFactory {
    const { routerPolicyConfig: policies, routerDecisionLog: log } = options.config;
    const read = policies === undefined ? undefined : readPolicyConfig(policies);
    if (log !== undefined) prepareDecisionFile(log);
    return new KvRouterFactory(options, read);
  }

  /** Opens a router of an endpoint that nobody shares; whoever asks for it closes it. */
  async open(pool: RoutedPool): Promise<KvRouter> {
    const { router } = await this.#open(pool);
    return router;
  }

  /**
   * Joins the router that all models of an endpoint with blocks of one size share, opening it for the first one, and waits
   * a while until as many workers as must be there at first are restored.
   *
   * @throws the signal's reason when aborted
   */
  async openRestored(pool: RoutedPool, { signal }: AbortOptions = {}): Promise<ModelRouter> {
    const router = await this.#shared.join(pool);
    if (this.#options.config.routerMinInitialWorkers === 0) return router;
    try {
      const { restoreMs = RESTORE_MS } = this.#options;
      await router.ready({ signal: deadlineSignal(restoreMs, signal) });
    } catch {
      if (signal?.aborted === true) await router.close();
      throwIfAborted(signal);
      this.#options.logger.warn('workers are missing; requests are served without them', {
        endpoint: formatEndpointPath(pool.path),
        wanted_workers: this.#options.config.routerMinInitialWorkers,
        ranks_restored: router.restored.done,
        ranks: router.restored.total,
      });
    }
    return router;
  }

  /** Writes what is left of the decision log; routers are closed before. Idempotent. */
  async close(): Promise<void> {
    await this.#decisionFile?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #open(pool: RoutedPool): Promise<JoinedRouter> {
    this.#decisionFile ??= openDecisionFile(this.#options);
    let queues: ModelQueues | undefined;
    const createQueue = ({ host, facts }: CollaboratorSeat): ModelQueues =>
      (queues = new ModelQueues({
        create: (model) => this.#queue(pool.path, model, host),
        first: pool.model,
        isServed: (model) => facts.models().has(model),
      }));
    const router = await KvRouter.connect({ ...this.#routerOptions(pool), createQueue });
    return {
      router,
      joined: (model) => queues?.join(model),
      left: async (model) => queues?.leave(model),
    };
  }

  #routerOptions(pool: RoutedPool): KvRouterOptions {
    const { config, runtime, logger, metrics } = this.#options;
    const ttlMs = config.routerSessionAffinityTtlMs;
    return {
      runtime,
      path: pool.path,
      blockSize: pool.blockSize,
      mode: config.routerMode,
      settings: kvRouterSettings(config),
      logger,
      metrics,
      decisionFile: this.#decisionFile,
      createBusy: (seat) => this.#busy(pool, seat),
      ...(ttlMs === undefined ? {} : { createAffinity: () => this.#affinity(pool, ttlMs) }),
      ...(config.routerReplicaSync
        ? { createSharing: (seat: CollaboratorSeat) => this.#sharing(pool, seat) }
        : {}),
    };
  }

  #busy({ path }: RoutedPool, { core, facts, capacityChanged }: CollaboratorSeat): BusyMonitor {
    const { runtime, logger, metrics } = this.#options;
    const monitor = new BusyMonitor({
      thresholds: this.thresholds,
      models: () => facts.models(),
      modelsOf: (instanceId) => facts.get(instanceId)?.models ?? NO_MODELS,
      limitsOf: (instanceId) => facts.get(instanceId),
      core,
      path,
      events: runtime.events,
      onChange: capacityChanged,
      metrics,
      logger,
    });
    monitor.start();
    return monitor;
  }

  #queue(path: EndpointPath, model: string | undefined, host: PlacementHost): SchedulerQueue {
    const { config, logger, metrics } = this.#options;
    const fallback = defaultProfile({
      queuePolicy: config.routerQueuePolicy,
      thresholdFrac: config.routerQueueThreshold,
    });
    const profile = this.#policies && profileFor(this.#policies, model ?? '');
    return new SchedulerQueue({
      host,
      profile: profile ?? fallback,
      model: model ?? formatEndpointPath(path),
      maxWaitMs: config.routerQueueTimeoutMs,
      refreshAfterMs: config.routerOverlapRefreshAfterMs,
      metrics,
      logger,
    });
  }

  #affinity({ path }: RoutedPool, ttlMs: number): SessionAffinity {
    const { config, runtime, logger, metrics } = this.#options;
    const affinity = new SessionAffinity({
      ttlMs,
      mode: config.routerSessionAffinityMode,
      path,
      routerId: runtime.instanceId,
      events: runtime.events,
      metrics,
      logger,
    });
    affinity.start();
    return affinity;
  }

  #sharing(
    { path, blockSize }: RoutedPool,
    { core, settings, capacityChanged }: CollaboratorSeat,
  ): ReplicaSync {
    const { runtime, logger, metrics } = this.#options;
    const sync = new ReplicaSync({
      runtime,
      path,
      blockSize,
      stride: settings.activeSequenceStride,
      core,
      desk: this.#desk,
      onRemoteChange: capacityChanged,
      metrics,
      logger,
    });
    sync.start();
    return sync;
  }
}

function openDecisionFile({ config, logger }: KvRouterFactoryOptions): DecisionFile | undefined {
  const { routerDecisionLog: path, routerDecisionLogMaxMb: maxMb } = config;
  if (path === undefined) return undefined;
  return DecisionFile.open({ path, maxBytes: maxMb * MIB, logger });
}
