import type { Scenario } from './scenario.ts';
import type { Side } from '../sides/side.ts';
import type { Figures } from './sse-load.ts';

/** All runs of one scenario. */
export interface ScenarioRuns {
  readonly scenario: Scenario;
  readonly runs: Readonly<Record<Side['name'], readonly Figures[]>>;
}

/** Median of each figure; of an even count the mean of the middle two. */
export function medians(runs: readonly Figures[]): Figures | undefined {
  const [first] = runs;
  if (first === undefined) return undefined;
  const names = Object.keys(first) as (keyof Figures)[];
  return Object.fromEntries(
    names.map((name) => [name, median(runs.map((run) => run[name]))]),
  ) as unknown as Figures; // the same keys as the runs
}

/** A Markdown table: processor time and its ratio, latencies of both sides. */
export function renderTable(all: readonly ScenarioRuns[]): string {
  const header = [
    '| scenario | CPU peer | CPU ours | ratio | TTFT ms p50/p99 peer → ours | ITL ms p50/p99 peer → ours | frames/token peer → ours | failed |',
    '|---|---|---|---|---|---|---|---|',
  ];
  return [...header, ...all.map(renderRow)].join('\n');
}

function renderRow({ scenario, runs }: ScenarioRuns): string {
  const [peer, ours] = [medians(runs.peer), medians(runs.ours)];
  const unit = scenario.per === 'token' ? 'µs/token' : 'ms/request';
  const both = (pick: (figures: Figures) => string): string =>
    `${peer === undefined ? '–' : pick(peer)} → ${ours === undefined ? '–' : pick(ours)}`;
  const failed = [...runs.peer, ...runs.ours].reduce((sum, run) => sum + run.failed, 0);
  const cells = [
    scenario.name,
    peer === undefined ? '–' : `${peer.cpu.toFixed(2)} ${unit}`,
    ours === undefined ? '–' : `${ours.cpu.toFixed(2)} ${unit}`,
    peer === undefined || ours === undefined ? '–' : (ours.cpu / peer.cpu).toFixed(2),
    both((figures) => `${figures.ttftP50Ms.toFixed(1)}/${figures.ttftP99Ms.toFixed(1)}`),
    both((figures) => `${figures.itlP50Ms.toFixed(2)}/${figures.itlP99Ms.toFixed(2)}`),
    both((figures) => (scenario.stream ? figures.framesPerToken.toFixed(2) : '–')),
    String(failed),
  ];
  return `| ${cells.join(' | ')} |`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const low = sorted[Math.ceil(middle) - 1] ?? NaN;
  const high = sorted[Math.floor(middle)] ?? NaN;
  return (low + high) / 2;
}
