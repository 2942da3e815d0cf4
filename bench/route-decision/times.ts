/** Times of the same work with and without a record of it. */
import { quantile } from '@dynamo-ts/testing';

/** How much is measured. */
export interface RoundOptions {
  /** Decisions of each kind together. */
  readonly decisions: number;
  /** Requests under way, before which nothing is counted. */
  readonly active: number;
  /** Decisions after which recording goes on or off, so that both see the same machine and the same prompts. */
  readonly turn: number;
}

/** µs. */
export interface Times {
  readonly recorded: readonly number[];
  readonly unrecorded: readonly number[];
}

/** Does one piece of work, returns its time in µs. */
export type Work = (prompt: Uint32Array, at: number, record: boolean) => Promise<number>;

/** Takes all prompts with a record, then all without, and so on. */
export async function inTurns(
  prompts: readonly Uint32Array[],
  { decisions, active, turn }: RoundOptions,
  work: Work,
): Promise<Times> {
  const recorded: number[] = [];
  const unrecorded: number[] = [];
  for (let at = 0; at < decisions + active; at += 1) {
    const prompt = prompts[at % prompts.length];
    if (prompt === undefined) break;
    const record = Math.floor(at / turn) % 2 === 0;
    const took = await work(prompt, at, record);
    if (at >= active) (record ? recorded : unrecorded).push(took);
  }
  return { recorded, unrecorded };
}

/** Prints both, and what the record costs of the median. */
export function report(name: string, { recorded, unrecorded }: Times): void {
  print(`${name}, recorded`, recorded);
  print(`${name}, not recorded`, unrecorded);
  const cost = quantile([...recorded], 0.5) / quantile([...unrecorded], 0.5) - 1;
  console.log(`recording costs ${(100 * cost).toFixed(1)} % of the median`);
}

function print(name: string, times: readonly number[]): void {
  const figures = [0.5, 0.9, 0.99, 0.999].map((share) => quantile([...times], share).toFixed(1));
  const [p50, p90, p99, p999] = figures;
  console.log(`${name.padEnd(32)} p50 ${p50} µs  p90 ${p90} µs  p99 ${p99} µs  p99.9 ${p999} µs`);
}
