/** More clients than the fleet can serve, who ask again at once when they are refused. */
import { quantile, residentMiB } from '@dynamo-ts/testing';

import { complete } from '../completion.ts';
import { Fleet } from '../fleet.ts';
import { unless } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario } from '../scenario.ts';

const WORKERS = 2;
/** Requests that an engine runs at once. */
const SEQUENCES = 4;
const PLACES = WORKERS * SEQUENCES;
/** An answer that takes longer than this is of no use to its client. */
const USEFUL_MS = 5000;
/** Longest wait in the router's queue: most of the useful time is left for the answer. */
const QUEUE_SECONDS = 1;
const MOST_GROWTH_MIB = 150;

/** What a phase of load gave. */
interface Phase {
  /** Useful answers per second. */
  readonly goodput: number;
  readonly answered: number;
  readonly refused: number;
  readonly late: number;
  readonly broken: readonly string[];
  readonly refusalsMs: readonly number[];
}

/** Overload with clients that know no patience. */
export const RETRY_STORM: Scenario = {
  name: 'retry-storm',
  load: `${PLACES} clients, as many as the engines have places; then three times as many; then ${PLACES} again`,
  fault: 'clients that are refused ask again at once, whatever Retry-After says',
  assertion:
    'useful answers per second stay at 90 % of the best before and after it (75 % in the short form: its phases of 6 s hold five rounds of 8 answers, and a round that ends just too late is 20 %); memory is bounded; nothing but 529 and 503 refuses',
  alone: true,
  async run({ size, progress }) {
    const seconds = bySize(size, { short: 6, long: 60 });
    const share = bySize(size, { short: 0.75, long: 0.9 });
    await using fleet = await Fleet.start({
      workers: WORKERS,
      // The engines are what is short, not this machine.
      workerArgs: ['--speedup-ratio=0.5', `--max-num-seqs=${SEQUENCES}`].concat(
        '--max-num-batched-tokens=2048',
        '--num-gpu-blocks-override=512',
      ),
      frontendArgs: ['--router-queue-threshold=1', `--router-queue-timeout=${QUEUE_SECONDS}`],
    });
    const { pid, url } = fleet.one('frontend');
    const phase = async (clients: number): Promise<Phase> => {
      const result = await flood(url, clients, seconds);
      progress(`${clients} clients: ${describe(result)}`);
      return result;
    };
    await flood(url, PLACES, seconds / 3);
    const before = await phase(PLACES);
    const memory = residentMiB(pid);
    const storm = await phase(3 * PLACES);
    const grownMiB = residentMiB(pid) - memory;
    const after = await phase(PLACES);
    const best = Math.max(before.goodput, after.goodput);
    const kept = storm.goodput / best;
    const all = [before, storm, after];
    const broken = all.flatMap((each) => each.broken);
    return {
      requests: all.reduce((sum, each) => sum + each.answered + each.refused, broken.length),
      failed: broken.length,
      stuck: 0,
      notes: [
        `${(kept * 100).toFixed(0)} % of the best; ${storm.answered} answers and ${storm.refused} refusals in the storm (p50 ${quantile(storm.refusalsMs, 0.5).toFixed(0)} ms)`,
        `frontend grew by ${grownMiB.toFixed(0)} MiB`,
      ],
      problems: [
        ...broken.slice(0, 5),
        ...unless(storm.refused > 0, 'nobody was refused: it was no storm'),
        ...unless(kept >= share, `goodput fell to ${(kept * 100).toFixed(0)} %`),
        ...unless(grownMiB < MOST_GROWTH_MIB, `the frontend grew by ${grownMiB.toFixed(0)} MiB`),
      ],
    };
  },
};

/** So many clients, each with one request at a time and no pause, for so long. */
async function flood(url: string, clients: number, seconds: number): Promise<Phase> {
  const endMs = performance.now() + seconds * 1000;
  const broken: string[] = [];
  const refusalsMs: number[] = [];
  let useful = 0;
  let late = 0;
  const client = async (): Promise<void> => {
    while (performance.now() < endMs) {
      const startMs = performance.now();
      const ending = await complete(url, question());
      const nowMs = performance.now();
      if (ending.kind === 'refused' && [503, 529].includes(ending.status))
        refusalsMs.push(nowMs - startMs);
      else if (ending.kind !== 'answered') broken.push(JSON.stringify(ending));
      else if (nowMs > endMs || nowMs - startMs > USEFUL_MS) late += 1;
      else useful += 1;
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  const answered = useful + late;
  const refused = refusalsMs.length;
  return { goodput: useful / seconds, answered, refused, late, broken, refusalsMs };
}

let asked = 0;

/** A prompt of 1,500 tokens that nobody has cached. */
function question(): Readonly<Record<string, unknown>> {
  asked += 1;
  const prompt = `${asked} `.padEnd(1500, `${asked} lorem `);
  return { prompt, max_tokens: 24, ignore_eos: true };
}

function describe({ goodput, answered, late, refused }: Phase): string {
  return `${goodput.toFixed(1)} useful answers per second, ${answered} answered (${late} late or at the end), ${refused} refused`;
}
