/** Many requests one after another: memory must not grow with their number. */
import { residentMiB } from '../process-usage.ts';
import { Fleet } from '../fleet.ts';
import { complete } from '../completion.ts';
import { unless } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario } from '../scenario.ts';

const WIDTH = 32;
const MOST_GROWTH = 1.3;

/** A soak. */
export const SOAK: Scenario = {
  name: 'soak',
  load: `${WIDTH} clients, short requests with different prompts (1,000,000 in the long form)`,
  fault: 'none: only their number',
  assertion: `memory of frontend and router stays below ${MOST_GROWTH} times that of the steady state`,
  alone: true,
  async run({ size, progress }) {
    const total = bySize(size, { short: 45_000, long: 1_000_000 });
    const warm = bySize(size, { short: 20_000, long: 50_000 });
    await using fleet = await Fleet.start({
      workers: 2,
      routers: 1,
      workerArgs: ['--speedup-ratio=0', '--max-num-seqs=256'],
    });
    const [url = ''] = fleet.urls;
    const services = [fleet.one('frontend'), fleet.one('router')];
    let failed = 0;
    let steady: number[] = [];
    let next = 0;
    const client = async (): Promise<void> => {
      for (let index = next++; index < total; index = next++) {
        if (index === warm) steady = services.map(({ pid }) => residentMiB(pid));
        if (index % 10_000 === 9999) progress(`${index + 1} of ${total}`);
        const body = { prompt: `soak ${index} `.repeat(8), max_tokens: 4, stream: index % 2 === 0 };
        if ((await complete(url, body)).kind !== 'answered') failed += 1;
      }
    };
    await Promise.all(Array.from({ length: WIDTH }, client));
    const end = services.map(({ pid }) => residentMiB(pid));
    const growth = end.map((mib, index) => mib / (steady[index] ?? mib));
    const notes = services.map(
      ({ kind }, index) =>
        `${kind} ${steady[index]?.toFixed(0)} MiB after ${warm} requests, ${end[index]?.toFixed(0)} MiB after ${total}`,
    );
    return {
      requests: total,
      failed,
      stuck: 0,
      notes,
      problems: [
        ...unless(failed === 0, `${failed} requests failed`),
        ...unless(Math.max(...growth) < MOST_GROWTH, `memory grew: ${notes.join('; ')}`),
      ],
    };
  },
};
