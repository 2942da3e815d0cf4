import { DynamoError } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { Context } from '@dynamo-ts/runtime';

import type {
  Placement,
  PlacementRequest,
  PlacementRouter,
  RequestOutcome,
} from '../placement-router.ts';
import type { BusyInstances } from './busy-instances.ts';

/** A router that refuses requests while all instances are over their busy thresholds; for one that does not look at them. */
export class BusyDoor implements PlacementRouter {
  readonly #router: PlacementRouter;
  readonly #busy: BusyInstances;

  constructor(router: PlacementRouter, busy: BusyInstances) {
    this.#router = router;
    this.#busy = busy;
  }

  async route(request: PlacementRequest, context: Context): Promise<Placement> {
    if (request.advisory !== true && this.#busy.isExhausted()) {
      const name = formatEndpointPath(this.#busy.view.path);
      throw new DynamoError(
        'capacity.pool_exhausted',
        `all instances of ${name} are over their busy thresholds, please retry later`,
      );
    }
    return this.#router.route(request, context);
  }

  prefillDone(bookingId: string): void {
    this.#router.prefillDone(bookingId);
  }

  outputBlock(bookingId: string): void {
    this.#router.outputBlock(bookingId);
  }

  free(bookingId: string, outcome?: RequestOutcome): void {
    this.#router.free(bookingId, outcome);
  }

  /** Closes the router behind it, not what it knows of instances. Idempotent. */
  async close(): Promise<void> {
    await this.#router.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
