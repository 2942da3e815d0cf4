import type { AbortOptions } from '@dynamo-ts/base';
import type { Context } from '@dynamo-ts/runtime';

import type {
  Placement,
  PlacementRequest,
  PlacementRouter,
  RequestOutcome,
} from '../../placement-router.ts';
import type { IndexReport } from '../health/index-health.ts';
import type { KvRouter } from '../kv-router.ts';

/** A model's part of the router of its endpoint, which other models there may share. */
export class ModelRouter implements PlacementRouter {
  /** What all models of the endpoint share. */
  readonly shared: KvRouter;
  readonly #model: string | undefined;
  readonly #leave: () => Promise<void>;
  #leaving: Promise<void> | undefined;

  constructor(shared: KvRouter, model: string | undefined, leave: () => Promise<void>) {
    this.shared = shared;
    this.#model = model;
    this.#leave = leave;
  }

  /** See `KvRouter.restored`. */
  get restored(): { readonly done: number; readonly total: number } {
    return this.shared.restored;
  }

  /** See `KvRouter.ready`. */
  async ready(options?: AbortOptions): Promise<void> {
    await this.shared.ready(options);
  }

  /** See `KvRouter.indexHealth`. */
  indexHealth(): IndexReport {
    return this.shared.indexHealth();
  }

  async route(request: PlacementRequest, context: Context): Promise<Placement> {
    return this.shared.route({ ...request, model: this.#model }, context);
  }

  prefillDone(bookingId: string): void {
    this.shared.prefillDone(bookingId);
  }

  outputBlock(bookingId: string): void {
    this.shared.outputBlock(bookingId);
  }

  free(bookingId: string, outcome?: RequestOutcome): void {
    this.shared.free(bookingId, outcome);
  }

  /** The model is not routed for any more; the router closes with the last one. Idempotent. */
  async close(): Promise<void> {
    this.#leaving ??= this.#leave();
    await this.#leaving;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
