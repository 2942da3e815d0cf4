/** The table that the suite prints and writes to docs/RELIABILITY.md. */
import type { Missing, Scenario, ScenarioResult, Size } from './scenario.ts';

/** A scenario that was run. */
export interface Row {
  readonly scenario: Scenario;
  readonly result: ScenarioResult;
}

const COLUMNS = ['scenario', 'requests', 'failed', 'stuck', 'identical', 'recovery s'] as const;

/** The table for a terminal. */
export function tableText(rows: readonly Row[]): string {
  const lines = [COLUMNS, ...rows.map(cells)];
  const widths = COLUMNS.map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    .join('\n');
}

/** The whole page. */
export function reliabilityPage(
  rows: readonly Row[],
  missing: readonly Missing[],
  run: { readonly size: Size; readonly date: string; readonly node: string },
): string {
  return [
    '# What the fleet survives',
    '',
    'Written by `npm run faults` (`-- --long` for the long form). Every scenario runs real processes under load and hurts',
    'them; `failed` and `stuck` must be 0. `identical` compares answers with those of an undisturbed fleet, `recovery` is',
    'the time from the end of the fault until everything was as before it.',
    '',
    'What the soak sees grow at first is the young generation of the heaps, not an index: a router at 257 MiB after',
    '30,000 requests, 117 of them heap, was at 175 MiB after a collection, 24 of them heap; 18 were index, load and decisions.',
    '',
    `Last run: ${run.date}, ${run.size} form, Node ${run.node}.`,
    '',
    markdownRow(['scenario', 'load', 'fault', 'what must hold', ...COLUMNS.slice(1), 'notes']),
    markdownRow(Array.from({ length: 10 }, () => '---')),
    ...rows.map(({ scenario, result }) =>
      markdownRow([
        `\`${scenario.name}\`${scenario.outage === undefined ? '' : ` (${scenario.outage})`}`,
        scenario.load,
        scenario.fault,
        scenario.assertion,
        ...cells({ scenario, result }).slice(1),
        result.skipped === undefined ? result.notes.join('; ') : `not run: ${result.skipped}`,
      ]),
    ),
    '',
    'Numbers in brackets are those of the acceptance tests taken from outages of comparable systems. Not yet built:',
    '',
    ...missing.map(({ outage, name, reason }) => `- ${name} (${outage}): ${reason}`),
    '',
  ].join('\n');
}

function cells({ scenario, result }: Row): string[] {
  const { identical, recoverySeconds } = result;
  return [
    scenario.name,
    String(result.requests),
    String(result.failed),
    String(result.stuck),
    identical === undefined ? '–' : `${identical.equal} of ${identical.of}`,
    recoverySeconds === undefined ? '–' : recoverySeconds.toFixed(1),
  ];
}

function markdownRow(values: readonly string[]): string {
  return `| ${values.join(' | ')} |`;
}
