import { DynamoError } from '@dynamo-ts/base';

import type { PlacementRequest } from '../placement-router.ts';
import type { PolicyClass } from './policy-profile.ts';

/** What waits in one class. */
export interface QueueStats {
  readonly policyClass: string;
  readonly pendingCount: number;
  readonly pendingIslTokens: number;
  readonly pendingCachedTokens: number;
}

/** As much of a waiting request as its class counts. */
export interface CountedRequest {
  readonly request: Pick<PlacementRequest, 'promptTokens'>;
  /** Prompt tokens that the best rank has in cache, as last seen. */
  cachedTokens: number;
}

/** Which limit of a class is reached. */
export type ClassLimit = 'requests' | 'isl_tokens' | 'cached_tokens';

/** One class with the sums over its waiting requests, against which its limits hold. */
export class WaitingClass {
  readonly policyClass: PolicyClass;
  #count = 0;
  #islTokens = 0;
  #cachedTokens = 0;

  constructor(policyClass: PolicyClass) {
    this.policyClass = policyClass;
  }

  /** Requests that wait. */
  get size(): number {
    return this.#count;
  }

  get stats(): QueueStats {
    return {
      policyClass: this.policyClass.name,
      pendingCount: this.#count,
      pendingIslTokens: this.#islTokens,
      pendingCachedTokens: this.#cachedTokens,
    };
  }

  /** The limit that is reached already; the request that reaches one is still taken. */
  reachedLimit(workers: number): ClassLimit | undefined {
    const { requestLimitPerWorker, islTokenLimitPerWorker, cachedTokenLimitPerWorker } =
      this.policyClass;
    const isReached = (sum: number, perWorker: number | undefined): boolean =>
      perWorker !== undefined && sum >= perWorker * workers;
    if (isReached(this.#count, requestLimitPerWorker)) return 'requests';
    if (isReached(this.#islTokens, islTokenLimitPerWorker)) return 'isl_tokens';
    return isReached(this.#cachedTokens, cachedTokenLimitPerWorker) ? 'cached_tokens' : undefined;
  }

  entered({ request, cachedTokens }: CountedRequest): void {
    this.#count += 1;
    this.#islTokens += request.promptTokens;
    this.#cachedTokens += cachedTokens;
  }

  left({ request, cachedTokens }: CountedRequest): void {
    this.#count -= 1;
    this.#islTokens -= request.promptTokens;
    this.#cachedTokens -= cachedTokens;
  }

  /** A new look at the caches found another number for a waiting request. */
  reestimated(entry: CountedRequest, cachedTokens: number): void {
    this.#cachedTokens += cachedTokens - entry.cachedTokens;
    entry.cachedTokens = cachedTokens;
  }

  /** The error for a request that finds a limit reached. */
  refusal(limit: ClassLimit, retryAfterSeconds: number): DynamoError {
    const waiting = {
      requests: `${this.#count} requests`,
      isl_tokens: `${this.#islTokens} prompt tokens`,
      cached_tokens: `${this.#cachedTokens} cached prompt tokens`,
    }[limit];
    return new DynamoError(
      'capacity.queue_full',
      `queue class ${this.policyClass.name} holds ${waiting} and takes no more; retry later`,
      { details: { retry_after_seconds: retryAfterSeconds } },
    );
  }
}
