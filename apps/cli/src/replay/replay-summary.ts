/** One line of a replay's table. */
import type { ReplayResult, ReplayTrace } from '@dynamo-ts/sim';

import type { DecisionLogContent } from './decision-log.ts';

/** Percentiles of a time in milliseconds; undefined where nothing was measured. */
export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** What a policy made of the requests. */
export interface ReplaySummary {
  readonly name: string;
  readonly requests: number;
  /** Requests that no worker could take, or no engine could run. */
  readonly failed: number;
  /** Share of prompt tokens that were in cache. */
  readonly cachedShare: number;
  readonly ttftMs: Percentiles | undefined;
  readonly itlMs: Percentiles | undefined;
  readonly e2eMs: Percentiles | undefined;
  /** Work of the busiest worker against the mean: computed tokens, and requests. */
  readonly spread: { readonly tokens: number | undefined; readonly requests: number };
  readonly outputTokensPerSecond: number | undefined;
}

/** A replay to sum up. */
export interface ReplayedFleet {
  readonly trace: ReplayTrace;
  readonly result: ReplayResult;
  /** By worker: which of them count as one, because one took the other's place. @default none */
  readonly places?: readonly number[] | undefined;
}

/** Sums up a simulated fleet. */
export function summarize(
  name: string,
  { trace, result, places = indices(result.totals.length) }: ReplayedFleet,
): ReplaySummary {
  const answered = indices(result.firstTokenMs.length).filter(
    (index) => !Number.isNaN(result.firstTokenMs[index] ?? NaN),
  );
  const several = answered.filter((index) => (result.outputTokens[index] ?? 0) > 1);
  const totals = result.totals;
  const outputTokens = sum(result.outputTokens);
  return {
    name,
    requests: result.workers.length,
    failed: result.workers.length - answered.length,
    cachedShare: sum(result.cachedTokens) / Math.max(1, sum(trace.promptTokens)),
    ttftMs: percentiles(answered.map((index) => result.firstTokenMs[index] ?? 0)),
    itlMs: percentiles(several.map((index) => interTokenMs(result, index))),
    e2eMs: percentiles(answered.map((index) => result.lastTokenMs[index] ?? 0)),
    spread: {
      tokens: spread(
        totals.map((each) => each.prefillTokens + each.generatedTokens),
        places,
      ),
      requests: spread(countByWorker(result.workers, totals.length), places),
    },
    outputTokensPerSecond: outputTokens / Math.max(0.001, result.durationMs / 1000),
  };
}

/** Sums up what was recorded. */
export function summarizeRecorded({ trace, recorded, fleet }: DecisionLogContent): ReplaySummary {
  return {
    name: 'recorded',
    requests: trace.arrivalMs.length,
    failed: 0,
    cachedShare: recorded.cachedTokens / Math.max(1, recorded.promptTokens),
    ttftMs: percentiles(recorded.ttftMs),
    itlMs: percentiles(recorded.itlMs),
    e2eMs: undefined,
    spread: { tokens: undefined, requests: maxOverMean(fleet.requests) },
    outputTokensPerSecond: undefined,
  };
}

function interTokenMs({ firstTokenMs, lastTokenMs, outputTokens }: ReplayResult, index: number) {
  const span = (lastTokenMs[index] ?? 0) - (firstTokenMs[index] ?? 0);
  return span / ((outputTokens[index] ?? 2) - 1);
}

function countByWorker(workers: Int32Array, count: number): readonly number[] {
  const counts = Array.from({ length: count }, () => 0);
  for (const worker of workers) if (worker >= 0) counts[worker] = (counts[worker] ?? 0) + 1;
  return counts;
}

function percentiles(values: readonly number[]): Percentiles | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((one, other) => one - other);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99) };
}

function spread(work: readonly number[], places: readonly number[]): number {
  const byPlace = Array.from({ length: Math.max(0, ...places) + 1 }, () => 0);
  for (const [worker, place] of places.entries())
    byPlace[place] = (byPlace[place] ?? 0) + (work[worker] ?? 0);
  return maxOverMean(byPlace);
}

function maxOverMean(values: readonly number[]): number {
  const total = sum(values);
  return total === 0 ? 1 : (Math.max(...values) * values.length) / total;
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function indices(length: number): readonly number[] {
  return Array.from({ length }, (_, index) => index);
}
