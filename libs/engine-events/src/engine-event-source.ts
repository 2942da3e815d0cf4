/**
 * One rank's publisher in an engine: a subscription that comes back by itself, and the replay of what it missed.
 *
 * When a connection is made, and each time it is made again, the publisher is asked for everything it has kept, because
 * only its oldest batches show whether it is the same publisher as before. Guarantees: frames reach the sink in order;
 * messages, queues and waits are bounded. Without a replay endpoint what was sent while nobody listened is lost.
 */
import {
  Backoff,
  TaskGroup,
  onAbort,
  raceAbort,
  systemClock,
  throwIfAborted,
} from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';
import type { Subscriber } from 'zeromq';

import { EngineEventReports } from './engine-event-reports.ts';
import { Turns, loadZeromq, socketOptions } from './engine-socket.ts';
import { isBindEndpoint } from './event-endpoint.ts';
import { parseLiveFrame } from './event-frame.ts';
import { FrameIntake } from './frame-intake.ts';
import type { EventFrameSink } from './frame-intake.ts';
import { ReplayClient } from './replay-client.ts';

/** Where one rank's events are. */
export interface EngineEventAddress {
  readonly dpRank: number;
  /** `tcp://host:port`; with `*` as host the engine connects to us. */
  readonly endpoint: string;
  readonly replayEndpoint?: string | undefined;
  /** Only messages whose topic begins so. @default all */
  readonly topic?: string | undefined;
}

/** Settings of an {@link EngineEventSource}. */
export interface EngineEventSourceOptions {
  readonly address: EngineEventAddress;
  readonly sink: EventFrameSink;
  /** The sink may have something to publish. Called often; must be cheap. */
  readonly onChange: () => void;
  /** Label of the metrics. */
  readonly workerId: string;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  readonly clock?: Clock | undefined;
  /** Bounds of a replay, see `ReplayClient`. */
  readonly replayTimeoutMs?: { readonly silence: number; readonly total: number } | undefined;
}

/** Frames that wait in the socket while missing ones are fetched; more are lost and then asked for. */
const RECEIVE_QUEUE_MESSAGES = 4096;

/** After this time without a connection the log says so. */
const UNREACHABLE_AFTER_MS = 10_000;

/** A subscription to one publisher. */
export class EngineEventSource implements AsyncDisposable {
  readonly #options: EngineEventSourceOptions;
  readonly #reports: EngineEventReports;
  readonly #intake: FrameIntake;
  readonly #tasks: TaskGroup;
  readonly #connected = Promise.withResolvers<undefined>();
  #socket: Subscriber | undefined;
  #turn: Promise<void> = Promise.resolve();
  readonly #backoff = new Backoff({ initialMs: 100, maxMs: 5000 });
  #mustCatchUp = false;
  #isReconnecting = false;

  constructor(options: EngineEventSourceOptions) {
    const { address, logger, onChange, sink } = options;
    this.#options = options;
    this.#reports = new EngineEventReports({ ...options, ...address });
    this.#intake = new FrameIntake({
      source: address.dpRank,
      sink,
      onChange,
      replay: replayClient(options),
      reports: this.#reports,
    });
    this.#tasks = new TaskGroup({
      name: 'engine events',
      onError: (error) => {
        logger.error('the event subscription has ended', { error, endpoint: address.endpoint });
      },
    });
  }

  /** Subscribes; the connection comes when the engine is there. @throws when the address cannot be used */
  async start(): Promise<void> {
    const { endpoint, topic } = this.#options.address;
    const zeromq = await loadZeromq();
    if (this.#tasks.signal.aborted) return;
    const socket = new zeromq.Subscriber({
      ...socketOptions(endpoint),
      receiveHighWaterMark: RECEIVE_QUEUE_MESSAGES,
    });
    this.#socket = socket;
    this.#watch(socket);
    if (topic === undefined) socket.subscribe();
    else socket.subscribe(topic);
    if (isBindEndpoint(endpoint)) await socket.bind(endpoint);
    else socket.connect(endpoint);
    this.#tasks.start('read', (signal) => this.#read(socket, signal));
  }

  /** Idempotent. */
  async close(): Promise<void> {
    const closing = this.#tasks.close();
    this.#socket?.close();
    await closing;
    await this.#turn;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #read(socket: Subscriber, signal: AbortSignal): Promise<void> {
    // What was sent before must be applied before what is sent now.
    if (this.#options.address.replayEndpoint !== undefined) {
      await raceAbort(this.#connected.promise, signal);
    }
    const turns = new Turns();
    for (;;) {
      const message = parseLiveFrame(await socket.receive());
      await turns.next();
      throwIfAborted(signal);
      if (message.kind === 'malformed') this.#reports.malformed(message.problem);
      else if (message.kind === 'frame') {
        this.#backoff.reset();
        await this.#inTurn(() => this.#intake.take(message, { signal }));
      }
    }
  }

  #watch(socket: Subscriber): void {
    const patience = setTimeout(() => {
      this.#reports.connection('unreachable');
    }, UNREACHABLE_AFTER_MS);
    patience.unref();
    onAbort(this.#tasks.signal, () => {
      clearTimeout(patience);
    });
    socket.events.on('handshake', () => {
      clearTimeout(patience);
      this.#reports.connection('connected');
      this.#catchUp();
    });
    const onBroken = (): void => {
      this.#reconnect(socket);
    };
    socket.events.on('disconnect', onBroken);
    socket.events.on('handshake:error:protocol', onBroken);
    socket.events.on('handshake:error:other', onBroken);
  }

  /** ZeroMQ comes back by itself from a connection that broke, but not from one that carried something impossible. */
  #reconnect(socket: Subscriber): void {
    const { address, clock = systemClock } = this.#options;
    if (this.#isReconnecting || this.#tasks.signal.aborted) return;
    this.#reports.connection('disconnected');
    if (isBindEndpoint(address.endpoint)) return;
    this.#isReconnecting = true;
    this.#tasks.start('reconnect', async (signal) => {
      await clock.sleep(this.#backoff.nextMs(), { signal });
      this.#isReconnecting = false;
      tryDisconnect(socket, address.endpoint);
      socket.connect(address.endpoint);
    });
  }

  /** Queues one replay of everything; a connection that comes and goes meanwhile needs no second one. */
  #catchUp(): void {
    if (this.#mustCatchUp || this.#tasks.signal.aborted) return;
    this.#mustCatchUp = true;
    this.#tasks.start('replay', (signal) =>
      this.#inTurn(() => {
        this.#mustCatchUp = false;
        return this.#intake.catchUp(0n, { signal });
      }),
    );
    this.#connected.resolve(undefined);
  }

  /** One after the other: a reader that waits for lost frames must not be overtaken. */
  async #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    await done;
  }
}

/** There is nothing to disconnect when ZeroMQ has given the connection up. */
function tryDisconnect(socket: Subscriber, endpoint: string): void {
  try {
    socket.disconnect(endpoint);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}

function replayClient({ address, clock, replayTimeoutMs }: EngineEventSourceOptions) {
  const { replayEndpoint: endpoint } = address;
  if (endpoint === undefined) return undefined;
  return new ReplayClient({
    endpoint,
    clock,
    silenceTimeoutMs: replayTimeoutMs?.silence,
    totalTimeoutMs: replayTimeoutMs?.total,
  });
}
