/**
 * Overload: three times as many requests as the fleet can serve, with and without the router's means against it.
 * Goodput is the number of answers that were complete and began within the limit, per second, against the best that
 * the same fleet gives when clients wait their turn.
 *
 *   npm run overload -w @dynamo-ts/bench [-- --seconds 20 --limit-ms 5000 --times 3]
 */
import { parseArgs } from 'node:util';

import { DynamoProcess, quantile, residentMiB } from '@dynamo-ts/testing';

import type { Outcome } from './client.ts';
import { closedLoop, openLoop } from './phases.ts';
import type { PhaseResult } from './phases.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    'limit-ms': { type: 'string', default: '5000' },
    times: { type: 'string', default: '3' },
  },
});
const seconds = Number(values.seconds);
const limitMs = Number(values['limit-ms']);
const times = Number(values.times);

/** 1,500 tokens of prompt, which nobody has cached, and 24 of answer. */
const SHAPE = { promptTokens: 1500, outputTokens: 24 };
const WORKERS = 4;
const SEQUENCES = 8;

/** Slow enough that the modelled engines are what is short, not this machine. */
const FLEET = [
  'up',
  '--http-port=0',
  `--workers=${WORKERS}`,
  `--max-num-seqs=${SEQUENCES}`,
  '--max-num-batched-tokens=2048',
  '--num-gpu-blocks-override=512',
  '--speedup-ratio=0.5',
];

const MEANS: readonly (readonly [string, readonly string[]])[] = [
  ['nothing', []],
  ['queue', ['--router-queue-threshold=1', `--router-queue-timeout=${limitMs / 2000}`]],
  [
    'queue, newest first',
    [
      '--router-queue-threshold=1',
      '--router-queue-policy=lcfs',
      `--router-queue-timeout=${limitMs / 2000}`,
    ],
  ],
  ['busy thresholds', ['--active-prefill-tokens-threshold-frac=2']],
];

process.stdout.write(
  `${WORKERS} mock workers, ${SEQUENCES} requests each at once; ${SHAPE.promptTokens} tokens in, ${SHAPE.outputTokens} out; answers must begin within ${limitMs} ms\n\n`,
);
for (const [name, flags] of MEANS) {
  await using dynamo = new DynamoProcess([...FLEET, ...flags]);
  const url = await dynamo.ready();
  const pid = dynamo.child.pid ?? 0;
  await closedLoop(url, SHAPE, { clients: WORKERS, seconds: 3 });
  const best = await closedLoop(url, SHAPE, { clients: WORKERS * SEQUENCES, seconds });
  const capacity = goodput(best);
  const before = residentMiB(pid);
  const flood = await openLoop(url, SHAPE, { perSecond: capacity * times, seconds });
  const after = await closedLoop(url, SHAPE, { clients: WORKERS * SEQUENCES, seconds });
  const ratio = goodput(flood) / capacity;
  process.stdout.write(
    `${name.padEnd(20)} best ${capacity.toFixed(1)}/s, at ${times} × ${goodput(flood).toFixed(1)}/s (${(ratio * 100).toFixed(0)} %)` +
      `, after it ${goodput(after).toFixed(1)}/s; ${describe(flood)}` +
      `; resident ${before.toFixed(0)} → ${residentMiB(pid).toFixed(0)} MiB\n`,
  );
}

/** Answers per second that were complete within the phase and began in time. */
function goodput({ within, seconds: length }: PhaseResult): number {
  return within.filter(isGood).length / length;
}

function isGood({ isComplete, ttftMs }: Outcome): boolean {
  return isComplete && ttftMs <= limitMs;
}

function describe({ all, sent }: PhaseResult): string {
  const complete = all.filter(({ isComplete }) => isComplete);
  const refused = all.filter(({ status }) => status === 529);
  const late = complete.filter((each) => !isGood(each));
  const other = sent - complete.length - refused.length;
  const ttft = complete.map(({ ttftMs }) => ttftMs);
  const answer = refused.map(({ durationMs }) => durationMs);
  return (
    `${sent} sent, ${complete.length} answered (${late.length} too late), ${refused.length} refused, ${other} failed` +
    `; TTFT p50 ${quantile(ttft, 0.5).toFixed(0)} p99 ${quantile(ttft, 0.99).toFixed(0)} ms` +
    (refused.length > 0 ? `, refusals p50 ${quantile(answer, 0.5).toFixed(0)} ms` : '')
  );
}
