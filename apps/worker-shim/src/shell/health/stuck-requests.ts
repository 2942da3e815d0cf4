/**
 * Finds requests that an engine has forgotten: others get tokens and these do not. One that has begun must get its next
 * token soon; one that has not may wait in the engine's queue or be in a long prefill, and is given longer.
 */
import type { DynamoError } from '@dynamo-ts/base';

/** A request that the engine has and whose caller keeps up. */
export interface OwedRequest {
  /** Whether it has given a token. */
  readonly begun: boolean;
  /** Items that the engine has written for it. */
  readonly writes: number;
  /** Fails it, so that it moves to another worker, and tells the engine to leave it. */
  giveUp(error: DynamoError): void;
}

/** A request that has waited for too long. */
export interface StuckRequest {
  readonly request: OwedRequest;
  readonly silentMs: number;
}

/** What a {@link StuckRequests} judges by. */
export interface StuckLimits {
  /** Longest silence of an answer that has begun; 0 = no limit. */
  readonly stallMs: number;
  /** Longest time until its first token; 0 = no limit. */
  readonly firstTokenMs: number;
}

/** How many items a request had given, and since when. */
interface Sight {
  readonly writes: number;
  readonly sinceMs: number;
}

/** How long each request has been silent. */
export class StuckRequests {
  readonly #limits: StuckLimits;
  #seen = new Map<OwedRequest, Sight>();

  constructor(limits: StuckLimits) {
    this.#limits = limits;
  }

  /** Those that are stuck now; to be called again and again with all that the engine owes something. */
  look(owing: readonly OwedRequest[], nowMs: number): readonly StuckRequest[] {
    const seen = new Map<OwedRequest, Sight>();
    const stuck: StuckRequest[] = [];
    for (const request of owing) {
      const last = this.#seen.get(request);
      const sinceMs = last?.writes === request.writes ? last.sinceMs : nowMs;
      seen.set(request, { writes: request.writes, sinceMs });
      const limitMs = request.begun ? this.#limits.stallMs : this.#limits.firstTokenMs;
      const silentMs = nowMs - sinceMs;
      if (limitMs > 0 && silentMs >= limitMs) stuck.push({ request, silentMs });
    }
    this.#seen = seen;
    return stuck;
  }
}
