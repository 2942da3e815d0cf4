/**
 * `EventService` of a publishing process: sends each subscriber the events of its subjects, those of one event-loop tick
 * together. A subscriber whose connection is slower than the events costs a bounded queue and loses the oldest.
 */
import { EventServiceService } from '@dynamo-ts/protocol';
import type {
  EventEnvelope,
  EventServiceServer,
  SubscribeRequest,
  SubscribeResponse,
} from '@dynamo-ts/protocol';
import { Metadata } from '@grpc/grpc-js';
import type { ServerWritableStream } from '@grpc/grpc-js';

import type { GrpcService } from '../../grpc/grpc-server.ts';
import type { EventDrops } from '../event-drops.ts';
import { EventQueue } from '../event-queue.ts';
import type { EventQueueLimits } from '../event-queue.ts';

/** Settings of a {@link DirectEventService}. */
export interface DirectEventServiceOptions {
  readonly drops: EventDrops;
  /** Limits of each subscriber's queue. */
  readonly limits: EventQueueLimits;
}

type Call = ServerWritableStream<SubscribeRequest, SubscribeResponse>;

/** Payload bytes after which a message is sent and the next one begun. */
const MESSAGE_BYTES = 256 * 1024;

/** See the file comment. */
export class DirectEventService {
  /** To be put on the process's gRPC listener. */
  readonly service: GrpcService;
  readonly #options: DirectEventServiceOptions;
  readonly #subscribers = new Map<string, Set<DirectSubscriber>>();

  constructor(options: DirectEventServiceOptions) {
    this.#options = options;
    const implementation: EventServiceServer = {
      subscribe: (call) => {
        this.#subscribe(call);
      },
    };
    this.service = { definition: EventServiceService, implementation };
  }

  /** Sends an event to those that subscribed to its subject. */
  publish(event: EventEnvelope): void {
    for (const subscriber of this.#subscribers.get(event.subject) ?? []) subscriber.push(event);
  }

  /** Ends all subscriptions. */
  close(): void {
    for (const subscribers of this.#subscribers.values()) {
      for (const subscriber of subscribers) subscriber.end();
    }
  }

  #subscribe(call: Call): void {
    const subscriber = new DirectSubscriber(call, this.#options);
    const { subjects } = call.request;
    for (const subject of subjects) {
      const peers = this.#subscribers.get(subject) ?? new Set();
      this.#subscribers.set(subject, peers.add(subscriber));
    }
    const leave = (): void => {
      for (const subject of subjects) this.#subscribers.get(subject)?.delete(subscriber);
    };
    call.on('cancelled', leave);
    call.on('close', leave);
    call.on('error', leave);
    // Tells the subscriber that it is subscribed.
    call.sendMetadata(new Metadata());
  }
}

/** One subscriber's stream. */
class DirectSubscriber {
  readonly #call: Call;
  readonly #queue: EventQueue;
  #state: 'idle' | 'scheduled' | 'blocked' = 'idle';

  constructor(call: Call, { drops, limits }: DirectEventServiceOptions) {
    this.#call = call;
    this.#queue = new EventQueue(limits, () => {
      drops.count('congested', call.request.subjects.join(','));
    });
    call.on('drain', () => {
      this.#send();
    });
  }

  push(event: EventEnvelope): void {
    this.#queue.push(event);
    if (this.#state !== 'idle') return;
    this.#state = 'scheduled';
    setImmediate(() => {
      this.#send();
    });
  }

  end(): void {
    this.#send();
    this.#call.end();
  }

  #send(): void {
    this.#state = 'idle';
    while (this.#queue.size > 0) {
      if (this.#call.writableEnded || this.#call.cancelled) return;
      if (!this.#call.write({ events: this.#takeMessage() })) {
        this.#state = 'blocked';
        return;
      }
    }
  }

  #takeMessage(): EventEnvelope[] {
    const events: EventEnvelope[] = [];
    for (let bytes = 0; bytes < MESSAGE_BYTES;) {
      const event = this.#queue.tryShift();
      if (!event) break;
      events.push(event);
      bytes += event.payload.byteLength;
    }
    return events;
  }
}
