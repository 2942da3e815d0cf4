/**
 * One engine's presence in the deployment: registered while the engine answers, silent while it does not, drained when
 * the process stops.
 */
import {
  DynamoError,
  deadlineSignal,
  instanceIdHex,
  onAbort,
  raceAbort,
  systemClock,
} from '@dynamo-ts/base';
import type { Lifecycle } from '@dynamo-ts/base';
import type { BuildModelCardOptions, CardFileCache } from '@dynamo-ts/preprocess';
import type { EndpointPath, ModelDeploymentCard } from '@dynamo-ts/protocol';
import { LocalKvIndexer } from '@dynamo-ts/kv';
import { KV_EVENTS_TOPIC, LOAD_METRICS_TOPIC } from '@dynamo-ts/protocol';
import type { DistributedRuntime, EventPublisher, ServedEndpoint } from '@dynamo-ts/runtime';
import type { HealthState, Logger, Telemetry } from '@dynamo-ts/telemetry';

import type { WorkerConfig } from '../config.ts';
import { publishesKvEvents } from '../engines/engine.ts';
import type { Engine, EngineFacts } from '../engines/engine.ts';
import { KvPublication } from '../kv/kv-publication.ts';
import { serveKvQueries } from '../kv/kv-query-endpoint.ts';
import { Canary } from './health/canary.ts';
import { CancellationMeter } from './cancellation-meter.ts';
import { EngineKeeper } from './engine-keeper.ts';
import { EngineWatchdog } from './health/engine-watchdog.ts';
import type { EngineStall } from './health/engine-watchdog.ts';
import { GenerateHandler } from './generate-handler.ts';
import { LoadPublisher } from './load-publisher.ts';
import { describeModel } from './model/model-description.ts';
import { WORKER_METRICS } from './metrics.ts';
import { ModelPublication } from './model/model-publication.ts';
import { probeEngine } from './health/probe-engine.ts';
import type { EngineProbe } from './health/probe-engine.ts';
import { probeRequest, readProbePayload } from './health/probe-request.ts';
import type { ProbePayload } from './health/probe-request.ts';
import type { StuckRequest } from './health/stuck-requests.ts';
import { SleepMode } from './sleep-mode.ts';

/** What a {@link Worker} is made of. */
export interface WorkerOptions {
  readonly config: WorkerConfig;
  readonly runtime: DistributedRuntime;
  readonly engine: Engine;
  readonly cache: CardFileCache;
  readonly health: HealthState;
  /** The endpoint that generates. */
  readonly path: EndpointPath;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
}

/** A worker. */
export class Worker {
  /** Sleep and wake-up of its engine. */
  readonly sleepMode: SleepMode;
  readonly #options: WorkerOptions;
  readonly #handler: GenerateHandler;
  readonly #publication: ModelPublication;
  readonly #watchdog: EngineWatchdog;
  #keeper: EngineKeeper | undefined;
  #load: LoadPublisher | undefined;
  #kv: KvPublication | undefined;
  #kvQueries: ServedEndpoint | undefined;
  #canary: Canary | undefined;
  #forgetPage: () => void = () => undefined;
  readonly #publishers: EventPublisher[] = [];
  #state: 'starting' | 'registered' | 'asleep' | 'down' | 'stopping' = 'starting';
  #mustWaitForRouters = false;
  /** The engine hung: that it is up again says nothing until it has given a token. */
  #isDoubted = false;
  #probePayload: ProbePayload = {};
  #card: ModelDeploymentCard | undefined;

  constructor(options: WorkerOptions) {
    const { logger, path, runtime } = options;
    this.#options = options;
    this.#handler = createHandler(options);
    this.#watchdog = new EngineWatchdog({
      handler: this.#handler,
      stallMs: options.config.engineStallMs,
      firstTokenMs: options.config.engineFirstTokenMs,
      onStall: (stall) => {
        this.#onStall(stall);
      },
      onStuck: (stuck) => {
        this.#onStuck(stuck);
      },
      logger,
    });
    this.sleepMode = this.#createSleepMode();
    this.#publication = new ModelPublication({ runtime, path, handler: this.#handler.handle });
  }

  /** Starts the engine and registers; resolves when that is done. @throws as {@link EngineKeeper.start} */
  async start(): Promise<void> {
    const { config, engine, health, logger, path, runtime, telemetry } = this.#options;
    const { healthCheckPayload } = config;
    if (healthCheckPayload !== undefined) this.#probePayload = readProbePayload(healthCheckPayload);
    health.setEndpoint(path.endpoint, 'notready');
    const load = new LoadPublisher({
      publisher: await this.#openPublisher(LOAD_METRICS_TOPIC),
      workerId: runtime.instanceId,
      load: () => engine.load(),
    });
    const kv = new KvPublication({
      publisher: await this.#openPublisher(KV_EVENTS_TOPIC),
      workerId: runtime.instanceId,
      createIndex: (options) => new LocalKvIndexer(options),
      metrics: telemetry.metrics,
      logger,
    });
    this.#load = load;
    this.#kv = kv;
    this.#forgetPage = telemetry.metrics.onPage(async () => (await engine.metricsText?.()) ?? '');
    this.#keeper = new EngineKeeper({
      engine,
      host: {
        loadChanged: () => {
          load.changed();
        },
        kvEvents: (records) => {
          kv.accept(records);
        },
      },
      onUp: (facts) => this.#register(facts),
      onDown: (error) => this.#deregister(error),
      logger,
    });
    this.#watchdog.start();
    await this.#keeper.start();
  }

  /** Adds this worker's steps to the shutdown. */
  joinLifecycle(lifecycle: Lifecycle): void {
    const { config, health, logger } = this.#options;
    // Steps of a phase run in reverse order.
    lifecycle.onShutdown('not-ready', 'sleep', () => this.sleepMode.close());
    lifecycle.onShutdown('not-ready', 'worker', () => {
      this.#mustWaitForRouters = this.#state === 'registered';
      this.#state = 'stopping';
      health.markClosing();
      logger.info('stopping', { open_requests: this.#handler.openCount });
    });
    lifecycle.onShutdown('deregister', 'model', () => this.#publication.unregister());
    lifecycle.onShutdown('grace', 'routers', async () => {
      if (this.#mustWaitForRouters) await systemClock.sleep(config.gracePeriodMs);
    });
    lifecycle.onShutdown('drain', 'requests', async (deadline) => {
      const off = onAbort(deadline, () => {
        logger.warn('requests are cut off', { open_requests: this.#handler.openCount });
      });
      await raceAbort(this.#publication.drain(), deadline).finally(off);
    });
    lifecycle.onShutdown('drain', 'canary', () => this.#canary?.close());
    lifecycle.onShutdown('drain', 'watchdog', () => this.#watchdog.close());
    lifecycle.onShutdown('abort', 'engine', async () => {
      this.#handler.abort('the worker is stopping');
      await this.#keeper?.close();
    });
    lifecycle.onShutdown('transports', 'endpoints', () => this.#close());
  }

  async #register(facts: EngineFacts): Promise<void> {
    if (this.#state === 'stopping') return;
    const { health, logger, path } = this.#options;
    const description = this.#describe(facts);
    await this.#beginKv(facts, description.kvCacheBlockSize);
    const isAsleep = await this.sleepMode.restarted();
    if (!isAsleep) this.#handler.resume();
    this.#card = await this.#publication.register(description, {
      isHidden: isAsleep,
      prove: (built) => (isAsleep ? Promise.resolve() : this.#prove(built)),
    });
    this.#enter(isAsleep ? 'asleep' : 'registered');
    health.setEndpoint(path.endpoint, 'ready');
    this.#load?.changed();
    const { displayName: model } = this.#card;
    logger.info('the model is registered', { model, input: facts.input });
    if (!isAsleep) this.#startCanary(this.#card);
  }

  #createSleepMode(): SleepMode {
    const { engine, logger, runtime, telemetry } = this.#options;
    const labels = { worker_id: instanceIdHex(runtime.instanceId), engine: engine.kind };
    return new SleepMode({
      engine,
      host: {
        check: () => this.#checkRuns(),
        leave: (signal) => this.#leave(signal),
        asleep: () => this.#kv?.clear(),
        comeBack: () => this.#comeBack(),
      },
      gauge: telemetry.metrics.gauge(WORKER_METRICS.engineSleeping).bind(labels),
      logger,
    });
  }

  #checkRuns(): void {
    if (this.#state !== 'registered')
      throw new DynamoError('backend.engine_shutdown', 'the engine is not running');
  }

  /** The card stays: the model is known and cannot be used. */
  async #leave(signal: AbortSignal): Promise<void> {
    const { config } = this.#options;
    this.#enter('asleep');
    await this.#canary?.close();
    await this.#publication.hide();
    await systemClock.sleep(config.gracePeriodMs, { signal });
    this.#handler.refuse();
    const deadline = deadlineSignal(config.drainTimeoutMs, signal);
    await raceAbort(this.#handler.idle(), deadline).catch(() => undefined);
    signal.throwIfAborted();
    this.#handler.abort('the engine is being put to sleep');
  }

  /** An engine that was asleep is known again when it has given a token. */
  async #comeBack(): Promise<void> {
    const card = this.#card;
    if (card === undefined || this.#state !== 'asleep')
      throw new DynamoError('backend.engine_shutdown', 'the engine is not running');
    this.#handler.resume();
    this.#isDoubted = true;
    await this.#prove(card);
    await this.#publication.show();
    this.#enter('registered');
    this.#load?.changed();
    this.#startCanary(card);
  }

  /** What has begun to stop does nothing else. */
  #enter(state: 'registered' | 'asleep' | 'down'): void {
    if (this.#state !== 'stopping') this.#state = state;
  }

  async #prove(card: ModelDeploymentCard): Promise<void> {
    if (!this.#isDoubted) return;
    await probeEngine({ ...this.#probeOf(card), handler: this.#handler });
    this.#isDoubted = false;
  }

  #onStall({ requests, silentMs }: EngineStall): void {
    const { engine, runtime, telemetry } = this.#options;
    const labels = { worker_id: instanceIdHex(runtime.instanceId), engine: engine.kind };
    telemetry.metrics.counter(WORKER_METRICS.engineStallsTotal).inc(labels);
    this.#isDoubted = true;
    const message = `the engine gave no token for ${Math.round(silentMs)} ms although it has ${requests} requests`;
    this.#keeper?.giveUp(new DynamoError('backend.engine_shutdown', message));
  }

  #onStuck({ request, silentMs }: StuckRequest): void {
    const { engine, logger, runtime, telemetry } = this.#options;
    const labels = { worker_id: instanceIdHex(runtime.instanceId), engine: engine.kind };
    telemetry.metrics.counter(WORKER_METRICS.requestsStuckTotal).inc(labels);
    const message = `the engine gave no token for ${Math.round(silentMs)} ms although it serves others`;
    logger.warn('a request is stuck in the engine and moves on', { silent_ms: silentMs });
    request.giveUp(new DynamoError('backend.request_stuck', message));
  }

  #probeOf(card: ModelDeploymentCard): Omit<EngineProbe, 'handler'> {
    const { config, path } = this.#options;
    return {
      endpoint: path,
      probe: probeRequest(card, this.#probePayload),
      timeoutMs: config.healthCheckTimeoutMs,
    };
  }

  /** Before the worker is known: whoever sees its card can ask for its index. */
  async #beginKv(facts: EngineFacts, blockSize: number): Promise<void> {
    const { path, runtime } = this.#options;
    const { dataParallelStartRank: dpStart = 0, kvEvents = { kind: 'none' } } = facts;
    const publication = this.#kv;
    await publication?.begin({ blockSize, dpStart, kvEvents });
    if (publication === undefined || !publishesKvEvents(facts)) return;
    this.#kvQueries ??= await serveKvQueries({ runtime, path, publication });
  }

  #startCanary(card: ModelDeploymentCard): void {
    const { config, health, logger, path } = this.#options;
    if (!config.healthCheckEnabled) return;
    this.#canary = new Canary({
      ...this.#probeOf(card),
      handler: this.#handler,
      onStatus: (status) => {
        health.setEndpoint(path.endpoint, status);
      },
      waitMs: config.canaryWaitMs,
      busyStallMs: config.busyStallMs,
      logger,
    });
    this.#canary.start();
  }

  async #deregister(error: Error): Promise<void> {
    const { health, path } = this.#options;
    this.#enter('down');
    await this.#canary?.close();
    health.setEndpoint(path.endpoint, 'notready');
    this.#handler.abort(`the engine has died: ${error.message}`);
    await this.#kv?.end();
    await this.#publication.unregister();
  }

  #describe(facts: EngineFacts): BuildModelCardOptions {
    const { cache, config, engine } = this.#options;
    return { ...describeModel(config, engine.kind, facts), cache };
  }

  async #openPublisher(topic: string): Promise<EventPublisher> {
    const { path, runtime } = this.#options;
    const { component, namespace } = path;
    const publisher = await runtime.events.publisher(
      { scope: { namespace, component }, topic },
      runtime.instanceId,
    );
    this.#publishers.push(publisher);
    return publisher;
  }

  async #close(): Promise<void> {
    this.#forgetPage();
    this.#load?.[Symbol.dispose]();
    await this.#publication.close();
    await this.#kvQueries?.close();
    await this.#kv?.close();
    for (const publisher of this.#publishers) await publisher.close();
  }
}

function createHandler({ config, engine, logger, runtime, telemetry }: WorkerOptions) {
  const { engineRequestLimit, requestQueueLimit } = config;
  const workerId = instanceIdHex(runtime.instanceId);
  const { metrics } = telemetry;
  return new GenerateHandler({
    engine,
    logger: logger.child({ target: 'worker.request' }),
    limits:
      engineRequestLimit === undefined
        ? undefined
        : { running: engineRequestLimit, waiting: requestQueueLimit },
    cancellations: new CancellationMeter(metrics, { workerId, engine: engine.kind }),
    refused: metrics
      .counter(WORKER_METRICS.requestsRefusedTotal)
      .bind({ worker_id: workerId, engine: engine.kind }),
  });
}
