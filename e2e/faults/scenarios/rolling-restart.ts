/** Every service of a deployment restarted under load, and services started in any order. */
import { asSoonAs } from '../as-soon-as.ts';
import { Fleet } from '../fleet.ts';
import { Load, MIXED_BODIES } from '../load.ts';
import { complete } from '../completion.ts';
import { outcomeOf, unless } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario } from '../scenario.ts';

/** SIGTERM and start of each service in turn. */
export const ROLLING_RESTART: Scenario = {
  name: 'rolling-restart',
  outage: 16,
  load: '8 clients on the frontend that is not restarted at the time',
  fault: 'SIGTERM and start of every worker, router and frontend, one after the other',
  assertion: 'no request fails; every process exits with 0',
  async run({ size, progress }) {
    await using fleet = await Fleet.start({
      workers: 3,
      routers: 2,
      frontends: 2,
      graceSeconds: bySize(size, { short: 1, long: 5 }),
    });
    const [first = '', second = ''] = fleet.urls;
    const exits: (number | string)[] = [];
    const results = [];
    for (const [url, service] of [
      [first, fleet.one('frontend', 1)],
      ...fleet.all('router').map((router) => [first, router] as const),
      ...fleet.all('worker').map((worker) => [first, worker] as const),
      [second, fleet.one('frontend', 0)],
    ] as const) {
      const load = await Load.start({ urls: [url], clients: 8, bodies: MIXED_BODIES });
      exits.push(await service.terminate());
      await service.start();
      await fleet.answers();
      results.push(await load.stop());
      progress(`${service.name} restarted`);
    }
    return outcomeOf(sumOf(results), {
      problems: unless(
        exits.every((exit) => exit === 0),
        `exits were ${exits.join(', ')}`,
      ),
    });
  },
};

/** The drain of a frontend: its own streams come to their end. */
export const FRONTEND_DRAINS: Scenario = {
  name: 'frontend-drains',
  outage: 16,
  load: '20 streams on the frontend',
  fault: 'SIGTERM of the frontend in mid-stream',
  assertion: 'every stream comes to its end before the process exits with 0',
  async run() {
    await using fleet = await Fleet.start({ workers: 2 });
    const frontend = fleet.one('frontend');
    const bodies = Array.from({ length: 20 }, (_, seed) => ({
      prompt: 'drain',
      max_tokens: 600,
      seed,
      stream: true,
    }));
    const before = await fleet.taken();
    const streams = bodies.map((body) => complete(frontend.url, body));
    // One that the frontend has not read by then is refused, and rightly so.
    const all = before + bodies.length;
    await asSoonAs(async () => (await fleet.taken()) >= all, 'all streams have reached a worker');
    const exit = await frontend.terminate();
    const endings = await Promise.all(streams);
    const failed = endings.filter(({ kind }) => kind !== 'answered');
    return {
      requests: bodies.length,
      failed: failed.length,
      stuck: endings.filter(({ kind }) => kind === 'stuck').length,
      notes: [],
      problems: [
        ...failed.map((ending) => JSON.stringify(ending)),
        ...unless(exit === 0, `the exit was ${exit}`),
      ],
    };
  },
};

/** Random orders of start. */
export const START_ORDER: Scenario = {
  name: 'start-order',
  outage: 9,
  load: 'one request as soon as everything is up',
  fault: 'frontend, router and workers started in random order, brokers included in the long form',
  assertion: 'the fleet answers, whatever the order',
  async run({ size, progress }) {
    const orders = bySize(size, { short: 4, long: 20 });
    const slowest: number[] = [];
    let failed = 0;
    for (let order = 0; order < orders; order += 1) {
      await using fleet = await Fleet.start({
        workers: 2,
        routers: 1,
        cold: true,
        planes: size === 'long' ? 'brokers' : 'files',
      });
      const startedMs = performance.now();
      for (const service of shuffled(fleet.services, order)) service.launch();
      try {
        await fleet.answers();
      } catch {
        failed += 1;
      }
      slowest.push((performance.now() - startedMs) / 1000);
      progress(`${order + 1} of ${orders} orders`);
    }
    return {
      requests: orders,
      failed,
      stuck: 0,
      recoverySeconds: Math.max(...slowest),
      notes: [`${orders} orders`],
      problems: unless(failed === 0, `${failed} orders of start gave no answer in time`),
    };
  },
};

function sumOf(
  all: readonly Awaited<ReturnType<Load['stop']>>[],
): Awaited<ReturnType<Load['stop']>> {
  const total = (pick: (counts: (typeof all)[number]) => number): number =>
    all.reduce((sum, counts) => sum + pick(counts), 0);
  return {
    requests: total(({ requests }) => requests),
    failed: total(({ failed }) => failed),
    stuck: total(({ stuck }) => stuck),
    identical: {
      equal: total(({ identical }) => identical.equal),
      of: total(({ identical }) => identical.of),
    },
    failures: all.flatMap(({ failures }) => failures),
  };
}

/** The same order for the same seed, so that a failure can be looked at again. */
function shuffled<T>(items: readonly T[], seed: number): readonly T[] {
  let state = seed + 1;
  const keyed = items.map((item) => {
    state = (state * 48_271) % 2_147_483_647;
    return { item, key: state };
  });
  return keyed.sort((one, other) => one.key - other.key).map(({ item }) => item);
}
