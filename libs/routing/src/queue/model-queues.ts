/**
 * The queues of a router that several models share, one per model: each has classes, limits and metrics of its own. When
 * there is room, they take turns in being asked first.
 *
 * A model has a queue of its own when somebody has joined it or a worker serves it; requests that name another one wait
 * with those that name none, because callers can name what they like.
 */
import type { Context } from '@dynamo-ts/runtime';

import type { QueueClassStats, RequestQueue } from '../kv/collaborators.ts';
import type { Placement, PlacementRequest } from '../placement-router.ts';

/** Makes the queue of a model; undefined is every request that names none. */
export type CreateModelQueue = (model: string | undefined) => RequestQueue;

/** Settings of {@link ModelQueues}. */
export interface ModelQueuesOptions {
  readonly create: CreateModelQueue;
  /** One for this model is there from the beginning. */
  readonly first?: string | undefined;
  /** Whether a worker serves a model now. @default none is known */
  readonly isServed?: ((model: string) => boolean) | undefined;
}

/** Queues by model. */
export class ModelQueues implements RequestQueue {
  readonly #options: ModelQueuesOptions;
  readonly #queues = new Map<string | undefined, RequestQueue>();
  /** How often each model was joined and not left. */
  readonly #joined = new Map<string | undefined, number>();
  #turn = 0;

  constructor(options: ModelQueuesOptions) {
    this.#options = options;
    this.#queueOf(options.first);
  }

  /** Somebody serves a model from now on. */
  join(model: string | undefined): void {
    this.#joined.set(model, (this.#joined.get(model) ?? 0) + 1);
    this.#queueOf(model);
  }

  /** The counterpart of {@link join}; with the last one, what still waits for the model is refused. */
  async leave(model: string | undefined): Promise<void> {
    const left = (this.#joined.get(model) ?? 0) - 1;
    if (left > 0) {
      this.#joined.set(model, left);
      return;
    }
    const queue = this.#queues.get(model);
    this.#joined.delete(model);
    this.#queues.delete(model);
    await queue?.[Symbol.asyncDispose]();
  }

  async schedule(request: PlacementRequest, context: Context): Promise<Placement> {
    const { model } = request;
    const queue = this.#queueOf(this.#isKnown(model) ? model : undefined);
    return queue.schedule(request, context);
  }

  capacityChanged(): void {
    if (this.#queues.size === 1) {
      for (const queue of this.#queues.values()) queue.capacityChanged();
      return;
    }
    const queues = [...this.#queues.values()];
    this.#turn = (this.#turn + 1) % Math.max(queues.length, 1);
    for (const queue of [...queues.slice(this.#turn), ...queues.slice(0, this.#turn)])
      queue.capacityChanged();
  }

  stats(): readonly QueueClassStats[] {
    return [...this.#queues.values()].flatMap((queue) => queue.stats());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const queues = [...this.#queues.values()];
    this.#queues.clear();
    for (const queue of queues) await queue[Symbol.asyncDispose]();
  }

  #isKnown(model: string | undefined): boolean {
    if (model === undefined || model === this.#options.first || this.#joined.has(model))
      return true;
    return this.#options.isServed?.(model) ?? false;
  }

  #queueOf(model: string | undefined): RequestQueue {
    let queue = this.#queues.get(model);
    if (queue === undefined) {
      this.#dropUnused();
      queue = this.#options.create(model);
      this.#queues.set(model, queue);
    }
    return queue;
  }

  /** Models come and go, and with each that comes the queues of those that are gone can go, unless somebody waits. */
  #dropUnused(): void {
    for (const [model, queue] of this.#queues) {
      if (this.#isKnown(model) || queue.stats().some(({ pendingCount }) => pendingCount > 0))
        continue;
      this.#queues.delete(model);
      void queue[Symbol.asyncDispose]();
    }
  }
}
