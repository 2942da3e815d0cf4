/**
 * The request plane through a NATS broker, for places where processes cannot reach each other: the mux's messages go to
 * a subject per served instance, answers to an inbox per (client process, instance).
 *
 * A dead instance is noticed by the broker (nobody listens) at the next heartbeat, a hanging or cut-off one by silence.
 */
import {
  AbortReasonError,
  DynamoError,
  deadlineSignal,
  instanceIdHex,
  raceAbort,
  systemClock,
  throwIfAborted,
} from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';
import { encodeSegment, formatEndpointPath } from '@dynamo-ts/protocol';
import { Events } from 'nats';
import type { NatsConnection } from 'nats';

import { ReaderTurns } from '../reader-turns.ts';
import type {
  OutgoingRequest,
  RawHandler,
  RawResponse,
  RequestPlane,
  RequestTarget,
  ServedTransport,
  ServeOptions,
} from '../request-plane.ts';
import { DEFAULT_CREDIT_BYTES } from '../request-plane.ts';
import { ServedHandlers } from '../served-handlers.ts';
import { NatsClientSession } from './nats-client-session.ts';
import { NatsServerSessions } from './nats-server-sessions.ts';

/** Settings of a {@link NatsRequestPlane}. */
export interface NatsRequestPlaneOptions {
  /** The connection to the broker, made at the first call; whoever gives it closes it after the plane. */
  readonly connect: (options: AbortOptions) => Promise<NatsConnection>;
  /** How long a request waits for the first connection to the broker. @default 5000 */
  readonly connectTimeoutMs?: number | undefined;
  /** How long a server may take to accept a request (`DYN_NATS_REQUEST_TIMEOUT_SECS`). @default 10000 */
  readonly acceptTimeoutMs?: number | undefined;
  /** @default 1 MiB */
  readonly creditBytes?: number | undefined;
  /** Time between heartbeats while requests are open. @default 1000 */
  readonly heartbeatMs?: number | undefined;
}

/** Heartbeats that may be missed before an end counts as gone. */
const MISSED_BEATS = 4;

/** A client that has no requests open may be silent for this long before its session is forgotten. */
const IDLE_PEER_MS = 600_000;

/** A session without requests is left after this long, before its server forgets it. */
const IDLE_SESSION_MS = 300_000;

/** NATS request plane. */
export class NatsRequestPlane implements RequestPlane {
  readonly backend = 'nats';
  readonly #options: NatsRequestPlaneOptions;
  readonly #heartbeatMs: number;
  readonly #handlers = new ServedHandlers();
  readonly #servers = new Set<NatsServerSessions>();
  readonly #sessions = new Map<string, NatsClientSession>();
  readonly #turns = new ReaderTurns();
  #connection: Promise<NatsConnection> | undefined;
  /** The connection once it has been made. */
  #up: NatsConnection | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #closed = new AbortController();
  #closing: Promise<void> | undefined;

  constructor(options: NatsRequestPlaneOptions) {
    this.#options = options;
    this.#heartbeatMs = options.heartbeatMs ?? 1000;
  }

  async serve(options: ServeOptions, handler: RawHandler): Promise<ServedTransport> {
    const connection = await this.#connected();
    const subject = subjectOf(options);
    const served = this.#handlers.add(options, handler);
    const sessions = new NatsServerSessions({ connection, subject, handlers: this.#handlers });
    this.#servers.add(sessions);
    // Once this returns, callers may come.
    await connection.flush();
    return {
      transport: { kind: { $case: 'nats', value: subject } },
      refuse: () => {
        served.refuse();
      },
      idle: () => served.idle(),
      close: async () => {
        this.#handlers.remove(served);
        this.#servers.delete(sessions);
        await sessions.close();
      },
    };
  }

  async open(target: RequestTarget, request: OutgoingRequest): Promise<RawResponse> {
    const { killed } = request.context;
    throwIfAborted(killed);
    const session =
      this.#up === undefined
        ? await this.#sessionInTime(target, killed)
        : this.#sessionOn(this.#up, target);
    throwIfAborted(killed);
    return session.mux.open(target, request);
  }

  async reachable(target: RequestTarget, options: { readonly signal: AbortSignal }): Promise<void> {
    for (;;) {
      throwIfAborted(options.signal);
      try {
        const session = await raceAbort(this.#session(target), options.signal);
        // A heartbeat may be lost with the connection; then another one finds that out.
        await raceAbort(session.answered(), deadlineSignal(this.#heartbeatMs, options.signal));
        return;
      } catch (error) {
        if (this.#closing !== undefined) throw error;
        throwIfAborted(options.signal);
        await systemClock.sleep(this.#heartbeatMs / 2, options);
      }
    }
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #sessionInTime(target: RequestTarget, killed: AbortSignal): Promise<NatsClientSession> {
    const limit = deadlineSignal(this.#options.connectTimeoutMs ?? 5000, killed);
    try {
      return await raceAbort(this.#session(target), limit);
    } catch (error) {
      throwIfAborted(killed);
      if (!limit.aborted) throw error;
      throw new DynamoError('transport.cannot_connect', 'NATS does not answer', { cause: error });
    }
  }

  async #session(target: RequestTarget): Promise<NatsClientSession> {
    return this.#sessionOn(await this.#connected(), target);
  }

  #sessionOn(connection: NatsConnection, target: RequestTarget): NatsClientSession {
    const subject = subjectFrom(target);
    let session = this.#sessions.get(subject);
    if (session === undefined) {
      session = new NatsClientSession({
        connection,
        subject,
        creditBytes: this.#options.creditBytes ?? DEFAULT_CREDIT_BYTES,
        acceptTimeoutMs: this.#options.acceptTimeoutMs ?? 10_000,
        turns: this.#turns,
        onClose: (closed) => {
          if (this.#sessions.get(closed.subject) === closed) this.#sessions.delete(closed.subject);
        },
      });
      this.#sessions.set(subject, session);
    }
    return session;
  }

  async #connected(): Promise<NatsConnection> {
    if (this.#closing !== undefined)
      throw new DynamoError('runtime.closed', 'the request plane is closed');
    this.#connection ??= this.#connect();
    try {
      return await this.#connection;
    } catch (error) {
      this.#connection = undefined;
      throw error;
    }
  }

  async #connect(): Promise<NatsConnection> {
    const connection = await this.#options.connect({ signal: this.#closed.signal });
    this.#timer ??= setInterval(() => {
      this.#tick();
    }, this.#heartbeatMs).unref();
    void this.#followStatus(connection);
    if (this.#closing === undefined) this.#up = connection;
    return connection;
  }

  /** A broken connection may have lost messages: everything that was open starts anew. */
  async #followStatus(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status()) {
      if (type !== Events.Disconnect) continue;
      for (const session of [...this.#sessions.values()]) session.close('the broker is away');
      for (const sessions of this.#servers) sessions.reset();
    }
  }

  #tick(): void {
    const deadMs = this.#heartbeatMs * MISSED_BEATS;
    for (const session of [...this.#sessions.values()]) {
      if (session.mux.size === 0) session.rest(IDLE_SESSION_MS);
      else if (session.silentMs > deadMs) session.close(`${session.subject} has been silent`);
      else session.beat();
    }
    for (const sessions of this.#servers) sessions.sweep(deadMs, IDLE_PEER_MS);
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    this.#turns.close();
    this.#up = undefined;
    this.#closed.abort(new AbortReasonError('shutdown'));
    for (const session of [...this.#sessions.values()]) {
      session.mux.killAll();
      await session.mux.flushed();
      session.close('the request plane was closed');
    }
    this.#handlers.close();
    await Promise.all([...this.#servers].map((sessions) => sessions.close()));
    this.#servers.clear();
    const connection = await this.#connection?.catch(() => undefined);
    if (connection !== undefined && !connection.isClosed()) {
      await connection.flush().catch(() => undefined);
    }
  }
}

function subjectOf({ endpoint, instanceId }: ServeOptions): string {
  const segments = [endpoint.namespace, endpoint.component, endpoint.endpoint].map(encodeSegment);
  return `dynamo.request.${segments.join('.')}.${instanceIdHex(instanceId)}`;
}

function subjectFrom(target: RequestTarget): string {
  const kind = target.transport.kind;
  if (kind?.$case === 'nats') return kind.value;
  const name = `instance ${instanceIdHex(target.instanceId)} of ${formatEndpointPath(target.endpoint)}`;
  throw new DynamoError(
    'transport.cannot_connect',
    `${name} is not on the nats request plane but on ${kind?.$case ?? 'none'}; set DYN_REQUEST_PLANE alike everywhere`,
  );
}
