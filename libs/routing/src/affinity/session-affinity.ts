/**
 * Keeps the requests of a session on one rank (RP 4.9).
 *
 * The first request of a session whose worker answers binds it. The binding lives while requests run on it and for the
 * TTL after the last one; a failure of the worker, or its leaving, ends it. Hard mode allows no other rank, soft mode
 * prefers the bound one and follows the session when it is placed elsewhere. Routers tell each other: of two bindings of
 * one session the older one stands, so that all of them agree in the end. A router that starts knows none.
 */
import { createHash } from 'node:crypto';

import { TaskGroup, asInstanceId, isErrorCode, systemClock } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import { SessionBinding, formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { EventPlane, EventPublisher } from '@dynamo-ts/runtime';
import type { BoundGauge, Counter, Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import { endpointLabels } from '../endpoint-labels.ts';
import type { SessionBindings, SessionTarget } from '../kv/collaborators.ts';
import type { Placement, RequestOutcome } from '../placement-router.ts';
import { AFFINITY_METRICS } from './metrics.ts';
import { SessionTable } from './session-table.ts';
import type { Binding, BindingEnd, BoundRank } from './session-table.ts';

/** Topic of `SessionBinding` events, in the scope of the workers' component. */
export const AFFINITY_TOPIC = 'session_affinity';

/** Whether a session's requests may go elsewhere. */
export type AffinityMode = 'hard' | 'soft';

/** Settings of a {@link SessionAffinity}. */
export interface SessionAffinityOptions {
  /** Time in milliseconds without a request after which a session is free again. */
  readonly ttlMs: number;
  /** @default 'hard' */
  readonly mode?: AffinityMode | undefined;
  /** Most sessions that are remembered. @default 100,000 */
  readonly capacity?: number | undefined;
  /** Endpoint of the workers. */
  readonly path: EndpointPath;
  /** Instance id of this process. */
  readonly routerId: InstanceId;
  readonly events: EventPlane;
  readonly clock?: Clock | undefined;
  readonly metrics?: MetricsRegistry | undefined;
  readonly logger: Logger;
}

/** A request of a session that runs. */
interface SessionRequest extends BoundRank {
  readonly key: string;
  /** The binding that it holds. */
  lease: Binding | undefined;
}

type NewBinding = BoundRank & Pick<Binding, 'boundAtMs'>;

const DEFAULT_CAPACITY = 100_000;

/** A longer session id is remembered by its hash: clients choose it. */
const LONGEST_KEY = 128;

/** Bindings of one endpoint's sessions. */
export class SessionAffinity implements SessionBindings {
  readonly #options: SessionAffinityOptions;
  readonly #clock: Clock;
  readonly #endpoint: string;
  readonly #table: SessionTable;
  readonly #requests = new Map<string, SessionRequest>();
  readonly #tasks: TaskGroup;
  readonly #count: BoundGauge | undefined;
  /** What it has of {@link #count}. */
  #shown = 0;
  readonly #ended:
    Counter<'dynamo_namespace' | 'dynamo_component' | 'dynamo_endpoint' | 'reason'> | undefined;
  #publisher: EventPublisher | undefined;

  constructor(options: SessionAffinityOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#endpoint = formatEndpointPath(options.path);
    this.#count = options.metrics
      ?.gauge(AFFINITY_METRICS.sessions)
      .bind(endpointLabels(options.path));
    this.#ended = options.metrics?.counter(AFFINITY_METRICS.endedTotal);
    this.#table = new SessionTable({
      ttlMs: options.ttlMs,
      capacity: options.capacity ?? DEFAULT_CAPACITY,
      onEnded: (reason) => {
        this.#onEnded(reason);
      },
    });
    this.#tasks = new TaskGroup({
      name: 'session affinity',
      onError: (error, task) => {
        options.logger.error('session bindings are not shared any more', { task, error });
      },
    });
  }

  /** Begins to share bindings with other routers. */
  start(): void {
    const { path, events, routerId } = this.#options;
    const scope = { namespace: path.namespace, component: path.component };
    const topic = { scope, topic: AFFINITY_TOPIC };
    this.#tasks.start('listen', async (signal) => {
      for await (const { payload } of events.subscribe(topic, { signal })) this.accept(payload);
    });
    this.#tasks.start('publish', async () => {
      this.#publisher = await events.publisher(topic, routerId);
    });
  }

  /** Sessions that are bound. */
  get size(): number {
    return this.#table.size;
  }

  target(sessionId: string): SessionTarget | undefined {
    const binding = this.#table.get(keyOf(sessionId), this.#clock.monotonicMs());
    if (binding === undefined) return undefined;
    const { instanceId, dpRank } = binding;
    return { instanceId, dpRank, hard: this.#options.mode !== 'soft' };
  }

  bound(sessionId: string, bookingId: string, placement: Placement): void {
    this.ended(bookingId, undefined);
    const key = keyOf(sessionId);
    const { instanceId, dpRank } = placement;
    const binding = this.#table.get(key, this.#clock.monotonicMs());
    const request: SessionRequest = { key, instanceId, dpRank, lease: undefined };
    this.#requests.set(bookingId, request);
    if (binding !== undefined && isSame(binding, placement)) this.#hold(request, binding);
  }

  confirmed(bookingId: string): void {
    const request = this.#requests.get(bookingId);
    if (request === undefined || request.lease !== undefined) return;
    const { key, instanceId, dpRank } = request;
    const nowMs = this.#clock.monotonicMs();
    const known = this.#table.get(key, nowMs);
    if (known !== undefined && isSame(known, request)) {
      this.#hold(request, known);
      return;
    }
    // In hard mode the one that was first stands.
    if (known !== undefined && this.#options.mode !== 'soft') return;
    // Other routers would hold on to it: it is the older one.
    if (known !== undefined) this.#release(key, known, 'moved');
    const boundAtMs = this.#clock.now();
    const binding = this.#bind(key, { instanceId, dpRank, boundAtMs });
    this.#hold(request, binding);
    this.#announce(key, binding, nowMs);
  }

  ended(bookingId: string, outcome: RequestOutcome | undefined): void {
    const request = this.#requests.get(bookingId);
    if (request === undefined) return;
    this.#requests.delete(bookingId);
    const { key, lease } = request;
    const nowMs = this.#clock.monotonicMs();
    if (lease !== undefined) {
      lease.active -= 1;
      lease.idleSinceMs = nowMs;
    }
    const binding = this.#table.get(key, nowMs);
    if (binding === undefined) return;
    if (outcome !== undefined && isWorkersFault(outcome)) {
      if (isSame(binding, request)) this.#release(key, binding, 'failed');
    } else if (binding === lease) {
      this.#table.touch(key, nowMs);
      this.#announceAgain(key, binding, nowMs);
    }
  }

  invalidate(sessionId: string): void {
    const key = keyOf(sessionId);
    const binding = this.#table.get(key, this.#clock.monotonicMs());
    if (binding !== undefined) this.#release(key, binding, 'failed');
  }

  instanceGone(instanceId: InstanceId): void {
    this.#table.endInstance(instanceId);
  }

  /** Takes the payload of a `SessionBinding` event; what cannot be read is ignored. */
  accept(payload: Uint8Array): void {
    const event = tryDecode(payload);
    if (event?.endpoint !== this.#endpoint || event.routerId === this.#options.routerId) return;
    const { sessionId: key, boundAtMs } = event;
    if (key === '' || key.length > LONGEST_KEY) return;
    const heard = { instanceId: asInstanceId(event.workerId), dpRank: event.dpRank, boundAtMs };
    if (event.released) this.#heardReleased(key, heard);
    else this.#heardBound(key, heard);
  }

  /** Stops sharing. Idempotent. */
  async close(): Promise<void> {
    this.#show(0);
    await this.#tasks.close();
    await this.#publisher?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Requests of this router that run on the worker know better. */
  #heardReleased(key: string, heard: BoundRank): void {
    const own = this.#table.get(key, this.#clock.monotonicMs());
    if (own?.active === 0 && isSame(own, heard)) this.#table.end(key, 'moved');
  }

  #heardBound(key: string, heard: NewBinding): void {
    const nowMs = this.#clock.monotonicMs();
    const own = this.#table.get(key, nowMs);
    if (own === undefined) {
      this.#bind(key, heard);
    } else if (isSame(own, heard)) {
      this.#table.touch(key, nowMs);
    } else if (isOlder(heard, own)) {
      this.#table.end(key, 'moved');
      this.#bind(key, heard);
    } else {
      // The other router does not know of the older one, or would not have made its own.
      this.#announce(key, own, nowMs);
    }
  }

  #bind(key: string, facts: NewBinding): Binding {
    const nowMs = this.#clock.monotonicMs();
    const binding: Binding = { ...facts, active: 0, idleSinceMs: nowMs, announcedAtMs: nowMs };
    this.#table.set(key, binding, nowMs);
    this.#show(this.#table.size);
    return binding;
  }

  #hold(request: SessionRequest, binding: Binding): void {
    request.lease = binding;
    binding.active += 1;
    this.#table.touch(request.key, this.#clock.monotonicMs());
  }

  #release(key: string, binding: Binding, reason: BindingEnd): void {
    this.#table.end(key, reason);
    this.#publish(key, binding, true);
  }

  #announce(key: string, binding: Binding, nowMs: number): void {
    binding.announcedAtMs = nowMs;
    this.#publish(key, binding, false);
  }

  /** Other routers count the TTL from what they last heard. */
  #announceAgain(key: string, binding: Binding, nowMs: number): void {
    if (nowMs - binding.announcedAtMs >= this.#options.ttlMs / 3)
      this.#announce(key, binding, nowMs);
  }

  #publish(sessionId: string, binding: Binding, released: boolean): void {
    const { instanceId: workerId, dpRank = 0, boundAtMs } = binding;
    const { routerId } = this.#options;
    const endpoint = this.#endpoint;
    const event = { routerId, endpoint, sessionId, workerId, dpRank, released, boundAtMs };
    this.#publisher?.publish(SessionBinding.encode(event).finish());
  }

  /** Another router of the endpoint may have sessions too: each adds its part. */
  #show(size: number): void {
    this.#count?.inc(size - this.#shown);
    this.#shown = size;
  }

  #onEnded(reason: BindingEnd): void {
    this.#show(this.#table.size);
    this.#ended?.inc({ ...endpointLabels(this.#options.path), reason });
  }
}

function keyOf(sessionId: string): string {
  if (sessionId.length <= LONGEST_KEY) return sessionId;
  return createHash('sha256').update(sessionId).digest('hex');
}

function isSame(one: BoundRank, other: BoundRank): boolean {
  return one.instanceId === other.instanceId && (one.dpRank ?? 0) === (other.dpRank ?? 0);
}

/** Of two bindings made at the same time, the one to the lower worker counts as older. */
function isOlder(one: NewBinding, other: NewBinding): boolean {
  if (one.boundAtMs !== other.boundAtMs) return one.boundAtMs < other.boundAtMs;
  return one.instanceId < other.instanceId;
}

/** A client that cancels, or sends what no worker can answer, says nothing about the worker. */
function isWorkersFault({ kind, errorCode }: RequestOutcome): boolean {
  if (kind !== 'failed') return false;
  return errorCode === undefined || !isErrorCode(errorCode) || !errorCode.startsWith('request.');
}

function tryDecode(payload: Uint8Array): SessionBinding | undefined {
  try {
    return SessionBinding.decode(payload);
  } catch {
    return undefined;
  }
}
