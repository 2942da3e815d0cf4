/** Engines that are put to sleep and woken up while their workers stay. */
import { eventually } from '@dynamo-ts/testing';

import { complete } from '../completion.ts';
import { Fleet } from '../fleet.ts';
import { Load, MIXED_BODIES } from '../load.ts';
import { outcomeOf, unless } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario } from '../scenario.ts';
import type { Service } from '../service.ts';

const SERVED = ['dynamo_component_requests_total', 'dynamo_endpoint="generate"'] as const;

/** Sleep and wake-up under load, and of all at once. */
export const ENGINE_SLEEPS: Scenario = {
  name: 'engine-sleeps',
  outage: 10,
  load: '6 clients',
  fault:
    'the engine of one worker after the other is put to sleep and woken up again; in the end all sleep, and one is woken up',
  assertion:
    'no request fails; an engine that sleeps is given nothing, one that is awake again is; 503 and not 404 while all sleep',
  async run({ size, progress }) {
    const rounds = bySize(size, { short: 2, long: 20 });
    await using fleet = await Fleet.start({ workers: 2 });
    const [url = ''] = fleet.urls;
    const load = await Load.start({ urls: fleet.urls, clients: 6, bodies: MIXED_BODIES });
    const problems: string[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const worker = fleet.one('worker', round % 2);
      await tell(worker, 'sleep');
      const before = await worker.metric(...SERVED);
      const answered = load.requests;
      await eventually(() => load.requests > answered + 6, {
        timeoutMs: 60_000,
        what: 'the other worker goes on',
      });
      const given = (await worker.metric(...SERVED)) - before;
      problems.push(...unless(given === 0, `${worker.name} was given ${given} requests asleep`));
      await tell(worker, 'wake_up');
      await eventually(async () => (await worker.metric(...SERVED)) > before, {
        timeoutMs: 60_000,
        what: `${worker.name} is used again`,
      });
      progress(`${round + 1} of ${rounds} engines slept`);
    }
    const counts = await load.stop();
    await Promise.all(fleet.all('worker').map((worker) => tell(worker, 'sleep')));
    const meanwhile = await complete(url, { prompt: 'x', max_tokens: 1 });
    await tell(fleet.one('worker'), 'wake_up');
    const wokenMs = performance.now();
    await eventually(
      async () => (await complete(url, { prompt: 'x', max_tokens: 1 })).kind === 'answered',
      { timeoutMs: 60_000, what: 'the model answers again' },
    );
    const is503 = meanwhile.kind === 'refused' && meanwhile.status === 503;
    return outcomeOf(counts, {
      recoverySeconds: (performance.now() - wokenMs) / 1000,
      problems: [
        ...problems,
        ...unless(is503, `while all sleep the answer is ${JSON.stringify(meanwhile)}`),
      ],
    });
  },
};

/** Puts a worker's engine to sleep, or wakes it up; resolves when that is done. */
async function tell(worker: Service, action: 'sleep' | 'wake_up'): Promise<void> {
  const response = await fetch(`${worker.url}/engine/${action}`, { method: 'POST', body: '{}' });
  if (response.status !== 200) throw new Error(`${worker.name}: ${await response.text()}`);
}
