import type { QueuePolicy } from './policy-profile.ts';

/** What orders the requests of one class; the greater goes first. */
export interface QueueKey {
  /** Beats any score. */
  readonly strictPriority: number;
  readonly score: number;
  /** Order of arrival; the lower goes first among equals. */
  readonly sequence: number;
}

/** What a score is made of. */
export interface ScoreInput {
  /** Seconds since the queue was made. */
  readonly arrivalSeconds: number;
  /** Seconds by which the client moves it forward; negative ones mean nothing. */
  readonly priorityJump: number;
  /** Prompt tokens that the best rank would have to compute. */
  readonly uncachedTokens: number;
}

/** Score of a request under a policy (RP 4.6). */
export function queueScore(policy: QueuePolicy, input: ScoreInput): number {
  const jump = input.priorityJump > 0 ? input.priorityJump : 0;
  switch (policy) {
    case 'fcfs':
      return jump - input.arrivalSeconds;
    case 'lcfs':
      return jump + input.arrivalSeconds;
    case 'wspt':
      return (1 + jump) / Math.max(input.uncachedTokens, 1);
  }
}

/** Negative when `a` goes before `b`. */
export function compareKeys(a: QueueKey, b: QueueKey): number {
  return b.strictPriority - a.strictPriority || b.score - a.score || a.sequence - b.sequence;
}
