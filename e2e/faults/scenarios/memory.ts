/** Many requests one after another: memory must not grow with their number. */
import { residentMiB } from '@dynamo-ts/testing';

import { Fleet } from '../fleet.ts';
import { complete } from '../completion.ts';
import type { Ending } from '../completion.ts';
import { unless } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario } from '../scenario.ts';
import type { Service } from '../service.ts';

const WIDTH = 32;
const MOST_GROWTH = 1.3;
/** Heaps find their size within some 40,000 requests; the short form ends before, and has a fixed bound. */
const MOST_SHORT_MIB = 600;
/** What the long form showed on 2026-11-21, for the table of a short one. */
const LONG_FORM =
  'the long form went from frontend 388 MiB, router 367 MiB after 50,000 requests to 432 and 366 MiB after 1,000,000';
const TELL_EVERY = 10_000;

/** A soak. */
export const SOAK: Scenario = {
  name: 'soak',
  load: `${WIDTH} clients, short requests with different prompts (1,000,000 in the long form)`,
  fault: 'none: only their number',
  assertion: `long form: memory of frontend and of router stays below ${MOST_GROWTH} times that after 50,000 requests; short form, in which heaps still grow to their size: below ${MOST_SHORT_MIB} MiB each`,
  alone: true,
  async run({ size, soakRequests, progress }) {
    const total = soakRequests ?? bySize(size, { short: 30_000, long: 1_000_000 });
    const warm = Math.min(bySize(size, { short: 15_000, long: 50_000 }), Math.floor(total / 2));
    await using fleet = await Fleet.start({
      workers: 2,
      routers: 1,
      // Caches are full, and with them the router's index, long before memory is first measured.
      workerArgs: ['--speedup-ratio=0', '--max-num-seqs=256', '--num-gpu-blocks-override=4000'],
    });
    const [url = ''] = fleet.urls;
    const services = [fleet.one('frontend'), fleet.one('router')];
    const endings = new Endings();
    let steady: readonly number[] = [];
    let next = 0;
    const client = async (): Promise<void> => {
      for (let index = next++; index < total; index = next++) {
        if (index === warm) steady = resident(services);
        const body = { prompt: `soak ${index} `.repeat(8), max_tokens: 4, stream: index % 2 === 0 };
        endings.count(await complete(url, body));
        if ((index + 1) % TELL_EVERY === 0)
          progress(
            `${index + 1} of ${total}: ${memory(services, resident(services))}; ${endings.text}`,
          );
      }
    };
    await Promise.all(Array.from({ length: WIDTH }, client));
    const end = resident(services);
    const growth = end.map((mib, index) => mib / (steady[index] ?? mib));
    const isBounded =
      size === 'short' ? Math.max(...end) < MOST_SHORT_MIB : Math.max(...growth) < MOST_GROWTH;
    const notes = [
      `after ${warm} requests ${memory(services, steady)}`,
      `after ${total} ${memory(services, end)}`,
      ...bySize(size, { short: [`bound ${MOST_SHORT_MIB} MiB each; ${LONG_FORM}`], long: [] }),
    ];
    const { failed, stuck } = endings;
    return {
      requests: total,
      failed,
      stuck,
      notes,
      problems: [
        ...unless(failed + stuck === 0, endings.text),
        ...unless(isBounded, `memory grew: ${notes.join('; ')}`),
      ],
    };
  },
};

/** How the requests ended; the first few failures in words. */
class Endings {
  failed = 0;
  stuck = 0;
  readonly #examples: string[] = [];

  count(ending: Ending): void {
    if (ending.kind === 'answered') return;
    if (ending.kind === 'stuck') this.stuck += 1;
    else this.failed += 1;
    if (this.#examples.length < 5) this.#examples.push(JSON.stringify(ending));
  }

  get text(): string {
    return [`${this.failed} failed`, `${this.stuck} stuck`, ...this.#examples].join(', ');
  }
}

function resident(services: readonly Service[]): readonly number[] {
  return services.map(({ pid }) => residentMiB(pid));
}

function memory(services: readonly Service[], mib: readonly number[]): string {
  return services.map(({ kind }, index) => `${kind} ${mib[index]?.toFixed(0)} MiB`).join(', ');
}
