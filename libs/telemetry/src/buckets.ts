import { DynamoError } from '@dynamo-ts/base';

/** Most buckets that a histogram may have; more cost memory per series and say nothing new. */
const MAX_BUCKETS = 512;

/**
 * Histogram bounds by the rule of the reference: the first is 0, the rest are evenly spaced on a logarithmic scale from
 * `min` to `max` (the count includes the 0), rounded to two significant figures, duplicates removed.
 *
 * @throws config.invalid when min, max or count make no scale
 */
export function logBuckets(min: number, max: number, count: number): readonly number[] {
  if (!(min > 0) || !(max > min) || !Number.isFinite(max))
    throw new DynamoError(
      'config.invalid',
      `histogram buckets need 0 < min < max, got min ${min} and max ${max}`,
    );
  if (!Number.isInteger(count) || count < 0 || count > MAX_BUCKETS)
    throw new DynamoError(
      'config.invalid',
      `histogram buckets need a count from 0 to ${MAX_BUCKETS}, got ${count}`,
    );
  const buckets = Array.from({ length: count }, (_, index) => {
    if (index === 0) return 0;
    const exponent = index / (count - 1);
    return Number((min * (max / min) ** exponent).toPrecision(2));
  });
  return [...new Set(buckets)];
}

/** Bounds for durations in seconds, when a histogram names none. */
export const DEFAULT_BUCKETS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];
