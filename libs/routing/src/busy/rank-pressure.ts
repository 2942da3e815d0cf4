import type { BusyThreshold } from './busy-thresholds.ts';

/** What is known of a rank's limits; 0 is unknown. */
export interface RankLimits {
  readonly totalKvBlocks: number;
  readonly maxBatchedTokens: number;
}

/** One account of a rank's load: its own, or that of whoever books on it. */
export interface RankPressure {
  readonly decodeBlocks: number;
  readonly prefillTokens: number;
}

/** What a rank is assumed to compute at once when it does not say (RF 2.3). */
const UNKNOWN_MAX_BATCHED_TOKENS = 10_000_000;

/** Whether an account of a rank's load exceeds a threshold. */
export function exceeds(
  pressure: RankPressure,
  limits: RankLimits,
  threshold: BusyThreshold,
): boolean {
  const {
    activeDecodeBlocksThreshold: share = Infinity,
    activePrefillTokensThreshold: tokens = Infinity,
    activePrefillTokensThresholdFrac: frac = Infinity,
  } = threshold;
  const { totalKvBlocks, maxBatchedTokens } = limits;
  // Nobody can say how full a rank of unknown size is.
  if (totalKvBlocks > 0 && pressure.decodeBlocks / totalKvBlocks > share) return true;
  if (pressure.prefillTokens > tokens) return true;
  return pressure.prefillTokens > frac * (maxBatchedTokens || UNKNOWN_MAX_BATCHED_TOKENS);
}
