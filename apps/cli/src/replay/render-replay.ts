/** A replay as a table, with what it is a replay of. */
import type { ReplayTrace } from '@dynamo-ts/sim';

import { renderTable } from '../text-table.ts';
import type { DecisionLogContent } from './decision-log.ts';
import type { Percentiles, ReplaySummary } from './replay-summary.ts';

/** The simulated fleet. */
export interface ReplayFleet {
  /** At a time. */
  readonly workers: number;
  /** In all, those that were restarted counted anew. */
  readonly lives: number;
  readonly kvBlocks: number;
}

/** What is told. */
export interface ReplayReport {
  readonly log: DecisionLogContent;
  readonly fleet: ReplayFleet;
  /** Share of prompt tokens that one cache without bounds would have held. */
  readonly idealShare: number;
  readonly summaries: readonly ReplaySummary[];
}

/** The text, with a newline at its end. */
export function renderReplay({ log, fleet, idealShare, summaries }: ReplayReport): string {
  return `${[
    headline(log, fleet, idealShare),
    choices(log),
    renderTable(
      [
        'policy',
        'cached',
        'TTFT p50',
        'p90',
        'p99',
        'ITL p50',
        'E2E p50',
        'tokens',
        'requests',
        'failed',
      ],
      summaries.map(row),
      ['left'],
    ),
    'Times in ms. "tokens" and "requests" are the busiest worker against the mean. "recorded" is what the engines said;\nthe other lines are simulated with the mocker\'s timing: compare them with each other.',
  ].join('\n\n')}\n`;
}

/** A warning when choices do not come out as recorded, although policy and weights are the same. */
export function differences({ again }: DecisionLogContent): string | undefined {
  const { made, identical } = again;
  if (made === identical) return undefined;
  return `warning: ${count(made - identical)} of ${count(made)} choices come out otherwise than recorded, with the same policy and weights: another version wrote the log, or it was changed\n`;
}

function headline(
  { trace, endpoint }: DecisionLogContent,
  { workers, lives, kvBlocks }: ReplayFleet,
  idealShare: number,
): string {
  const seconds = (trace.arrivalMs.at(-1) ?? 0) / 1000;
  return [
    `${count(trace.arrivalMs.length)} requests of ${endpoint} over ${seconds.toFixed(1)} s, ${count(promptTokens(trace))} prompt tokens`,
    `${workers} workers${lives > workers ? ` at a time (${lives} in all, as they came and went)` : ''} of ${count(kvBlocks)} blocks of ${trace.blockSize} tokens; one cache without bounds would have held ${percent(idealShare)} of the prompts`,
  ].join('\n');
}

function choices({ again, same }: DecisionLogContent): string {
  const lines = [
    `choices made again from the record: ${count(again.identical)} of ${count(again.made)} bit-identical`,
    ...[...same].map(
      ([name, number]) =>
        `with ${name}: ${count(number)} of ${count(again.made)} would be the same`,
    ),
  ];
  return lines.join('\n');
}

function row(summary: ReplaySummary): readonly string[] {
  const { ttftMs, itlMs, e2eMs, spread } = summary;
  return [
    summary.name,
    percent(summary.cachedShare),
    time(ttftMs, 'p50'),
    time(ttftMs, 'p90'),
    time(ttftMs, 'p99'),
    time(itlMs, 'p50'),
    time(e2eMs, 'p50'),
    spread.tokens === undefined ? '–' : spread.tokens.toFixed(2),
    spread.requests.toFixed(2),
    String(summary.failed),
  ];
}

function time(percentiles: Percentiles | undefined, which: keyof Percentiles): string {
  return percentiles === undefined ? '–' : percentiles[which].toFixed(1);
}

function promptTokens(trace: ReplayTrace): number {
  return trace.promptTokens.reduce((total, tokens) => total + tokens, 0);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}
