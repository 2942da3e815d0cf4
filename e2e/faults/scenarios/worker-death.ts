/** Workers that die, hang or leave in the middle of answers: clients see one unbroken stream and the same text. */
import { setTimeout as delay } from 'node:timers/promises';

import { eventually } from '@dynamo-ts/testing';

import { Fleet } from '../fleet.ts';
import { LONG_BODIES, Load, MIXED_BODIES } from '../load.ts';
import { outcomeOf, unless } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario } from '../scenario.ts';
import type { Service } from '../service.ts';

/** SIGKILL. */
export const WORKER_KILLED: Scenario = {
  name: 'worker-killed',
  outage: 3,
  load: '12 clients, streamed and whole answers of about a second',
  fault: 'SIGKILL of a worker in mid-stream, again and again, a new one started for each',
  assertion: 'every answer is the undisturbed one',
  async run({ size, progress }) {
    const kills = bySize(size, { short: 12, long: 100 });
    await using fleet = await Fleet.start({ workers: 4 });
    const load = await Load.start({ urls: fleet.urls, clients: 12, bodies: MIXED_BODIES });
    for (let kill = 0; kill < kills; kill += 1) {
      const replacement = await fleet.add('worker');
      await replacement.start();
      await eventually(async () => (await fleet.inFlight()) > 0, { what: 'workers are busy' });
      await fleet.all('worker')[kill]?.kill();
      progress(`${kill + 1} of ${kills} workers killed`);
    }
    const counts = await load.stop();
    const moved = await movedBy(fleet);
    return outcomeOf(counts, {
      notes: [`${kills} kills, ${moved} answers moved in mid-stream`],
      problems: unless(moved > 0, 'no answer was moved: the fault did not hit one'),
    });
  },
};

/** SIGSTOP. */
export const WORKER_HANGS: Scenario = {
  name: 'worker-hangs',
  outage: 3,
  load: '8 clients',
  fault:
    'SIGSTOP of a worker in mid-stream: connections stay open and nothing answers; later SIGCONT',
  assertion:
    'its streams go on elsewhere with the same text; the worker is used again when it is back',
  async run({ size, progress }) {
    const rounds = bySize(size, { short: 1, long: 5 });
    await using fleet = await Fleet.start({ workers: 3 });
    const load = await Load.start({ urls: fleet.urls, clients: 8, bodies: MIXED_BODIES });
    let slowest = 0;
    for (let round = 0; round < rounds; round += 1) {
      const worker = fleet.one('worker', round % 3);
      const others = fleet.all('worker').filter((service) => service !== worker);
      await eventually(async () => (await inFlight(worker)) > 0, { what: 'the worker is busy' });
      worker.pause();
      const pausedMs = performance.now();
      progress(`${worker.name} hangs`);
      const before = await fleet.one('frontend').metric('dynamo_frontend_model_migration_total');
      await eventually(
        async () =>
          (await fleet.one('frontend').metric('dynamo_frontend_model_migration_total')) > before,
        { timeoutMs: 40_000, what: 'streams leave the worker that hangs' },
      );
      slowest = Math.max(slowest, performance.now() - pausedMs);
      await delay(2000);
      worker.resume();
      await eventually(async () => (await inFlight(worker)) > 0, {
        timeoutMs: 60_000,
        what: `${worker.name} is used again beside ${others.length} others`,
      });
    }
    const counts = await load.stop();
    return outcomeOf(counts, { recoverySeconds: slowest / 1000 });
  },
};

/** SIGTERM of a worker that has more to do than it is given time for. */
export const DRAIN_OVERRUN: Scenario = {
  name: 'drain-overrun',
  outage: 16,
  load: '8 clients with answers that take several times as long as the drain may',
  fault: 'SIGTERM of one worker after the other with a drain time of half a second, each replaced',
  assertion:
    'what a worker has not finished by then goes on elsewhere with the same text; every process exits with 0',
  async run({ size, progress }) {
    const rounds = bySize(size, { short: 2, long: 20 });
    await using fleet = await Fleet.start({
      workers: 3,
      graceSeconds: 0.2,
      workerArgs: ['--speedup-ratio=1', '--graceful-shutdown-timeout=0.5'],
    });
    const load = await Load.start({ urls: fleet.urls, clients: 8, bodies: LONG_BODIES });
    const exits: (number | string)[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await (await fleet.add('worker')).start();
      const worker = fleet.one('worker', round);
      await eventually(async () => (await inFlight(worker)) > 0, {
        timeoutMs: 30_000,
        what: `${worker.name} is busy`,
      });
      exits.push(await worker.terminate());
      progress(`${round + 1} of ${rounds} workers stopped`);
    }
    const counts = await load.stop();
    const moved = await movedBy(fleet);
    return outcomeOf(counts, {
      notes: [`${moved} answers moved in mid-stream`],
      problems: [
        ...unless(
          exits.every((exit) => exit === 0),
          `exits were ${exits.join(', ')}`,
        ),
        ...unless(moved > 0, 'no answer was moved: all were finished in time'),
      ],
    });
  },
};

/** SIGTERM. */
export const WORKER_DRAINS: Scenario = {
  name: 'worker-drains',
  outage: 16,
  load: '10 clients',
  fault: 'SIGTERM of one worker after the other, each replaced',
  assertion: 'no stream fails or moves needlessly; every process exits with 0',
  async run({ size, progress }) {
    const rounds = bySize(size, { short: 3, long: 20 });
    await using fleet = await Fleet.start({
      workers: 3,
      graceSeconds: bySize(size, { short: 1, long: 5 }),
    });
    const load = await Load.start({ urls: fleet.urls, clients: 10, bodies: MIXED_BODIES });
    const exits: (number | string)[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await (await fleet.add('worker')).start();
      exits.push(await fleet.one('worker', round).terminate());
      progress(`${round + 1} of ${rounds} workers drained`);
    }
    const counts = await load.stop();
    return outcomeOf(counts, {
      problems: unless(
        exits.every((exit) => exit === 0),
        `exits were ${exits.join(', ')}`,
      ),
    });
  },
};

/** Answers that the frontend has moved to another worker after their first token. */
async function movedBy(fleet: Fleet): Promise<number> {
  return fleet
    .one('frontend')
    .metric('dynamo_frontend_model_migration_total', 'migration_type="ongoing_request"');
}

async function inFlight(worker: Service): Promise<number> {
  return worker.metric('dynamo_component_inflight_requests', 'dynamo_endpoint="generate"');
}
