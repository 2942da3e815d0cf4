/**
 * The queues of a router that several models share, one per model: each has classes, limits and metrics of its own. When
 * there is room, they take turns in being asked first.
 */
import type { Context } from '@dynamo-ts/runtime';

import type { QueueClassStats, RequestQueue } from '../kv/collaborators.ts';
import type { Placement, PlacementRequest } from '../placement-router.ts';

/** Makes the queue of a model; undefined is every request that names none. */
export type CreateModelQueue = (model: string | undefined) => RequestQueue;

/** Queues by model. */
export class ModelQueues implements RequestQueue {
  readonly #create: CreateModelQueue;
  readonly #queues = new Map<string | undefined, RequestQueue>();
  /** How often each model was joined and not left. */
  readonly #joined = new Map<string | undefined, number>();
  #turn = 0;

  /** One for `first` is there from the beginning. */
  constructor(create: CreateModelQueue, first?: string) {
    this.#create = create;
    this.#queueOf(first);
  }

  /** Somebody serves a model from now on. */
  join(model: string | undefined): void {
    this.#queueOf(model);
    this.#joined.set(model, (this.#joined.get(model) ?? 0) + 1);
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
    return this.#queueOf(request.model).schedule(request, context);
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

  #queueOf(model: string | undefined): RequestQueue {
    let queue = this.#queues.get(model);
    if (queue === undefined) {
      queue = this.#create(model);
      this.#queues.set(model, queue);
    }
    return queue;
  }
}
