/** Networks that break as real ones do: packets vanish and nobody is told. */
import { setTimeout as delay } from 'node:timers/promises';

import { eventually } from '@dynamo-ts/testing';

import { Fleet } from '../fleet.ts';
import { LONG_BODIES, Load, MIXED_BODIES } from '../load.ts';
import { outcomeOf, unless } from '../outcome.ts';
import { PacketLoss } from '../packet-loss.ts';
import { bySize, skippedFor } from '../scenario.ts';
import type { Scenario, ScenarioResult } from '../scenario.ts';
import type { Service } from '../service.ts';

const REQUESTS = 'dynamo_component_requests_total';

/** A worker that nobody reaches and that reaches nobody. */
export const WORKER_CUT: Scenario = {
  name: 'worker-cut',
  outage: 3,
  load: '8 clients',
  fault:
    'the kernel drops every packet between a worker in mid-stream and everybody else, for longer than its lease',
  assertion:
    'its streams go on elsewhere with the same text; the worker registers again and is used again when the network is back',
  async run({ size, progress }) {
    const obstacle = PacketLoss.obstacle();
    if (obstacle !== undefined) return skippedFor(obstacle);
    const awayMs = bySize(size, { short: 17_000, long: 60_000 });
    await using fleet = await Fleet.start({
      planes: 'brokers',
      workers: 3,
      routers: 1,
      cuttable: true,
    });
    const load = await Load.start({ urls: fleet.urls, clients: 8, bodies: LONG_BODIES });
    const worker = fleet.one('worker');
    await eventually(async () => (await worker.metric('dynamo_component_inflight_requests')) > 0, {
      timeoutMs: 30_000,
      what: 'the worker is busy',
    });
    await using loss = await PacketLoss.begin(worker.ports);
    progress(`nothing gets through to ${worker.name} for ${awayMs / 1000} s`);
    const cutMs = performance.now();
    const frontend = fleet.one('frontend');
    await eventually(async () => (await moved(frontend)) > 0, {
      timeoutMs: 40_000,
      what: 'streams leave the worker that is cut off',
    });
    const movedSeconds = (performance.now() - cutMs) / 1000;
    await delay(Math.max(0, cutMs + awayMs - performance.now()));
    const before = await worker.metric(REQUESTS);
    await loss.end();
    const recoverySeconds = await usedAgain(worker, before);
    return outcomeOf(await load.stop(), {
      recoverySeconds,
      notes: [`streams began to move ${movedSeconds.toFixed(1)} s after the cut`],
    });
  },
};

/** Frontend and router without their brokers, while everybody else has them. */
export const BROKERS_UNREACHABLE: Scenario = {
  name: 'brokers-unreachable',
  outage: 8,
  load: '8 clients',
  fault:
    'the kernel drops every packet between frontend or router and etcd or NATS; workers keep theirs',
  assertion:
    'no request fails; a worker that started meanwhile is used soon after the network is back',
  async run({ size, progress }): Promise<ScenarioResult> {
    const obstacle = PacketLoss.obstacle();
    if (obstacle !== undefined) return skippedFor(obstacle);
    const awayMs = bySize(size, { short: 15_000, long: 60_000 });
    await using fleet = await Fleet.start({
      planes: 'brokers',
      workers: 2,
      routers: 1,
      cuttable: true,
    });
    const load = await Load.start({ urls: fleet.urls, clients: 8, bodies: MIXED_BODIES });
    const ports = [fleet.one('frontend'), fleet.one('router')].flatMap(
      ({ brokerPorts }) => brokerPorts,
    );
    await using loss = await PacketLoss.begin(ports);
    progress(`frontend and router reach no broker for ${awayMs / 1000} s`);
    const newcomer = await fleet.add('worker');
    newcomer.launch();
    await delay(awayMs);
    const served = load.requests;
    await loss.end();
    const recoverySeconds = await usedAgain(newcomer, 0);
    return outcomeOf(await load.stop(), {
      recoverySeconds,
      notes: [`${served} requests answered without brokers`],
      problems: unless(served > 0, 'nothing was answered without brokers'),
    });
  },
};

async function moved(frontend: Service): Promise<number> {
  return frontend.metric(
    'dynamo_frontend_model_migration_total',
    'migration_type="ongoing_request"',
  );
}

/** Seconds until a worker is given more requests. */
async function usedAgain(worker: Service, before: number): Promise<number> {
  const backMs = performance.now();
  await eventually(async () => (await worker.metric(REQUESTS)) > before, {
    timeoutMs: 60_000,
    what: `${worker.name} is used`,
  });
  return (performance.now() - backMs) / 1000;
}
