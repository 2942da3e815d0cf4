/**
 * Routers of one endpoint and block size count each other's running requests (RP 4.7), so that they do not all choose the worker that
 * each of them has left alone.
 *
 * Own bookings are published; those of others count in the core like own ones. Nothing is sent while no other router is
 * there. A router that starts, and one that notices that events were lost, asks for everything. A router that leaves
 * discovery takes its bookings with it.
 */
import { TaskGroup, asInstanceId, instanceIdHex, raceAbort, systemClock } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import { ActiveSequenceBatch, formatEndpointPath } from '@dynamo-ts/protocol';
import type { ActiveSequenceEvent, EndpointPath, EventEnvelope } from '@dynamo-ts/protocol';
import type { Client, DistributedRuntime, EventPublisher, EventTopic } from '@dynamo-ts/runtime';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { LoadSharing, SharedBooking } from '../kv/collaborators.ts';
import { BookingsDesk } from './bookings-desk.ts';
import type { BookingsReply } from './bookings-query.ts';
import { askForBookings, connectBookingsQuery, isCompatible } from './bookings-query.ts';
import { OwnBookings } from './own-bookings.ts';
import type { RemoteLoadCore } from './peer-bookings.ts';
import { Peers } from './peers.ts';
import type { Peer } from './peers.ts';
import { ReplicaMeter } from './replica-meter.ts';
import { SequenceBatcher } from './sequence-batcher.ts';
import { batchOf, sequenceAdded } from './shared-endpoint.ts';
import type { SharedEndpoint } from './shared-endpoint.ts';

/** Topic of `ActiveSequenceBatch` events, in the scope of the workers' component. */
export const SEQUENCES_TOPIC = 'active_sequences';

/** Settings of a {@link ReplicaSync}. */
export interface ReplicaSyncOptions {
  readonly runtime: DistributedRuntime;
  /** Endpoint that is routed for. */
  readonly path: EndpointPath;
  readonly blockSize: number;
  /** `--router-active-sequence-stride`; the same in all routers. @default 1 */
  readonly stride?: number | undefined;
  readonly core: RemoteLoadCore;
  /** Answers other routers for all those of this process. @default one of its own */
  readonly desk?: BookingsDesk | undefined;
  /** Whether prompts that other routers placed count as cached there where no event tells. @default true */
  readonly predict?: boolean | undefined;
  /** What other routers have booked has changed. */
  readonly onRemoteChange?: (() => void) | undefined;
  readonly clock?: Clock | undefined;
  readonly metrics?: MetricsRegistry | undefined;
  readonly logger: Logger;
}

/** How often routers that did not answer are asked again, and workers looked for that were not known. */
const UPKEEP_MS = 1000;

/** Shares one router's bookings. */
export class ReplicaSync implements LoadSharing {
  readonly #options: ReplicaSyncOptions;
  readonly #clock: Clock;
  readonly #desk: BookingsDesk;
  readonly #shared: SharedEndpoint;
  readonly #own = new OwnBookings();
  readonly #peers: Peers;
  readonly #meter: ReplicaMeter | undefined;
  readonly #batcher: SequenceBatcher;
  readonly #tasks: TaskGroup;
  readonly #ready = Promise.withResolvers<undefined>();
  #publisher: EventPublisher | undefined;
  #client: Client | undefined;

  constructor(options: ReplicaSyncOptions) {
    this.#options = options;
    const { runtime, path, metrics, logger } = options;
    this.#clock = options.clock ?? systemClock;
    this.#desk = options.desk ?? new BookingsDesk({ runtime, clock: this.#clock, logger });
    this.#shared = {
      routerId: runtime.instanceId,
      endpoint: formatEndpointPath(path),
      blockSize: options.blockSize,
      stride: options.stride ?? 1,
    };
    this.#meter = metrics && new ReplicaMeter(metrics, path);
    this.#peers = new Peers({
      core: options.core,
      predict: options.predict ?? true,
      clock: this.#clock,
    });
    this.#batcher = new SequenceBatcher((events) => {
      this.#send(events);
    });
    this.#tasks = new TaskGroup({
      name: 'replica sync',
      onError: (error, task) => {
        logger.error('bookings of other routers are not followed any more', { task, error });
      },
    });
  }

  /** Begins to share; see {@link ready}. */
  start(): void {
    this.#tasks.start('share', (signal) => this.#share(signal));
  }

  /** Resolves when other routers hear of this one's bookings; those that there are have been asked for theirs. */
  async ready(): Promise<void> {
    await this.#ready.promise;
  }

  /** Other routers whose bookings count here, and how many those are. */
  get remote(): { readonly routers: number; readonly bookings: number } {
    return { routers: this.#peers.size, bookings: this.#peers.bookings };
  }

  added(booking: SharedBooking): void {
    const added = sequenceAdded(booking);
    this.#own.add(booking.bookingId, added);
    this.#tell({ requestId: booking.bookingId, data: { $case: 'added', value: added } });
  }

  prefillDone(bookingId: string): void {
    if (this.#own.prefillDone(bookingId))
      this.#tell({ requestId: bookingId, data: { $case: 'prefillCompleted', value: {} } });
  }

  freed(bookingId: string): void {
    if (this.#own.remove(bookingId))
      this.#tell({ requestId: bookingId, data: { $case: 'freed', value: {} } });
  }

  forgotten(bookingIds: readonly string[]): void {
    for (const bookingId of bookingIds) {
      this.freed(bookingId);
      this.#peers.forget(bookingId);
    }
  }

  /** Stops sharing; other routers drop this one's bookings when it has left discovery. Idempotent. */
  async close(): Promise<void> {
    this.#ready.resolve(undefined);
    this.#batcher.flush();
    await this.#tasks.close();
    this.#batcher[Symbol.dispose]();
    await this.#publisher?.close();
    await this.#client?.close();
    this.#meter?.counted(0, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Listens before it is known, is known before it asks: whatever a router books is in its answer or in an event. */
  async #share(signal: AbortSignal): Promise<void> {
    const { runtime, path } = this.#options;
    const topic: EventTopic = {
      scope: { namespace: path.namespace, component: path.component },
      topic: SEQUENCES_TOPIC,
    };
    this.#publisher = await runtime.events.publisher(topic, runtime.instanceId);
    const subscription = runtime.events.subscribe(topic, { signal });
    this.#tasks.start('listen', async () => {
      for await (const event of subscription) this.#hear(event);
    });
    subscription.onRenewed((publishers) => {
      this.#onRenewed(publishers);
    });
    await subscription.ready({ signal });
    const { shared, own } = { shared: this.#shared, own: this.#own };
    const onAsked = (router: ActiveSequenceBatch): void => this.#asked(router);
    const leave = await this.#desk.join(path, { shared, own, onAsked }, signal);
    try {
      this.#client = await raceAbort(connectBookingsQuery(runtime, path), signal);
      await this.#follow(this.#client, signal);
    } finally {
      await leave();
    }
  }

  #asked({ routerId }: ActiveSequenceBatch): void {
    this.#peers.asked(asInstanceId(routerId));
    // What is in the answer needs no event, and an event that comes after it must be newer.
    this.#batcher.flush();
  }

  async #follow(client: Client, signal: AbortSignal): Promise<void> {
    const off = client.onInstances(({ kind, instance }) => {
      const id = asInstanceId(instance.instanceId);
      if (id === this.#shared.routerId) return;
      if (kind === 'added') this.#ask(this.#peers.joined(id), 'start');
      else this.#lose(id);
    });
    this.#ready.resolve(undefined);
    try {
      for (;;) {
        await this.#clock.sleep(UPKEEP_MS, { signal });
        this.#upkeep();
      }
    } finally {
      off();
    }
  }

  #tell(event: ActiveSequenceEvent): void {
    if (this.#peers.areListening) this.#batcher.push(event);
  }

  #send(events: readonly ActiveSequenceEvent[]): void {
    const batch = batchOf(this.#shared, events);
    this.#publisher?.publish(ActiveSequenceBatch.encode(batch).finish());
    this.#meter?.events('sent', events.length);
  }

  #hear(event: EventEnvelope): void {
    if (event.publisherId === this.#shared.routerId) return;
    const batch = tryDecode(event.payload);
    if (batch === undefined) {
      this.#meter?.events('refused', 1);
      return;
    }
    const routerId = asInstanceId(batch.routerId);
    if (this.#isForAnother(batch)) {
      // A router's events for all its endpoints and block sizes are numbered in one row.
      this.#peers.get(routerId)?.follows(event);
      return;
    }
    const peer = this.#peers.heard(routerId);
    const isNext = peer.follows(event);
    if (!this.#accepts(batch)) return;
    for (const each of batch.events) peer.bookings.apply(each);
    this.#meter?.events('applied', batch.events.length);
    this.#changed();
    if (!isNext) this.#ask(peer, 'gap');
  }

  /** Events of these routers may have been lost unseen. */
  #onRenewed(routers: readonly bigint[] | 'all'): void {
    for (const peer of this.#peers.all())
      if (peer.isKnown && (routers === 'all' || routers.includes(peer.routerId)))
        this.#ask(peer, 'gap');
  }

  #isForAnother({ endpoint, blockSize }: ActiveSequenceBatch): boolean {
    if (endpoint !== this.#shared.endpoint) return true;
    return blockSize !== this.#shared.blockSize && this.#desk.counts(endpoint, blockSize);
  }

  #accepts(batch: ActiveSequenceBatch): boolean {
    if (isCompatible(batch, this.#shared)) return true;
    if (batch.stride !== this.#shared.stride) this.#meter?.strideMismatch();
    this.#meter?.events('refused', batch.events.length);
    return false;
  }

  #ask(peer: Peer, reason: 'start' | 'gap'): void {
    peer.isAnswerDue = true;
    const client = this.#client;
    if (peer.isAsking || client === undefined || this.#tasks.signal.aborted) return;
    peer.isAsking = true;
    peer.isAnswerDue = false;
    this.#meter?.resync(reason);
    this.#tasks.start('ask', async (signal) => {
      const { routerId } = peer;
      peer.bookings.asking();
      try {
        const reply = await askForBookings({ client, shared: this.#shared, routerId, signal });
        this.#tasks.start('follow', () => this.#followPeer(peer, reply));
      } catch (error) {
        peer.bookings.notAnswered();
        peer.isAnswerDue = true;
        this.#meter?.resync('failed');
        const router_id = instanceIdHex(routerId);
        this.#options.logger.debug('a router did not tell its bookings', { router_id, error });
      } finally {
        peer.isAsking = false;
      }
    });
  }

  /** Counts what a router has booked for as long as it can be reached. */
  async #followPeer(peer: Peer, reply: BookingsReply): Promise<void> {
    const following = peer.follow(reply);
    // It may have left while it was asked.
    if (this.#peers.get(peer.routerId) !== peer) peer.leave();
    this.#changed();
    const isReplaced = await following;
    if (isReplaced || this.#tasks.signal.aborted) return;
    peer.leave();
    peer.isAnswerDue = true;
    this.#changed();
  }

  #lose(routerId: InstanceId): void {
    this.#peers.left(routerId);
    this.#changed();
  }

  #upkeep(): void {
    this.#peers.dropSilent();
    for (const peer of this.#peers.all()) {
      peer.bookings.retryUnplaced();
      if (peer.isAnswerDue && peer.isKnown) this.#ask(peer, 'start');
    }
    this.#meter?.counted(this.#peers.size, this.#peers.bookings);
  }

  #changed(): void {
    if (this.#tasks.signal.aborted) return;
    this.#meter?.counted(this.#peers.size, this.#peers.bookings);
    this.#options.onRemoteChange?.();
  }
}

function tryDecode(payload: Uint8Array): ActiveSequenceBatch | undefined {
  try {
    return ActiveSequenceBatch.decode(payload);
  } catch {
    return undefined;
  }
}
