import type { DynamoError, InstanceId } from '@dynamo-ts/base';

import type { RawResponse } from './request-plane/request-plane.ts';

/** One request's place on an instance, held from selection until its answer has ended. */
export interface Permit {
  /** Ties the answer to the permit, so that it can be failed when its instance is lost. */
  hold(response: RawResponse): void;
  /** Gives the place back. Idempotent. */
  release(): void;
}

/** Requests in flight per instance, shared by all clients of an endpoint in this process. */
export class Occupancy {
  readonly #permits = new Map<InstanceId, Set<HeldPermit>>();

  /** Requests in flight on an instance. */
  inFlight(id: InstanceId): number {
    return this.#permits.get(id)?.size ?? 0;
  }

  /** Takes a place. */
  acquire(id: InstanceId): Permit {
    let held = this.#permits.get(id);
    if (held === undefined) this.#permits.set(id, (held = new Set()));
    const permit = new HeldPermit((released) => {
      held.delete(released);
      if (held.size === 0 && this.#permits.get(id) === held) this.#permits.delete(id);
    });
    held.add(permit);
    return permit;
  }

  /** Fails every answer that an instance still owes. */
  failAll(id: InstanceId, error: DynamoError): void {
    for (const permit of [...(this.#permits.get(id) ?? [])]) permit.fail(error);
  }
}

class HeldPermit implements Permit {
  readonly #onRelease: (permit: HeldPermit) => void;
  #response: RawResponse | undefined;
  #released = false;

  constructor(onRelease: (permit: HeldPermit) => void) {
    this.#onRelease = onRelease;
  }

  hold(response: RawResponse): void {
    if (!this.#released) this.#response = response;
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#response = undefined;
    this.#onRelease(this);
  }

  fail(error: DynamoError): void {
    this.#response?.cancel(error);
  }
}
