/** etcd and NATS that die, freeze or lose their data under load: traffic goes on with what is known. */
import { setTimeout as delay } from 'node:timers/promises';

import { eventually } from '@dynamo-ts/testing';

import { complete } from '../completion.ts';
import { Fleet } from '../fleet.ts';
import type { ReachedBroker } from '../fleet.ts';
import { Load, MIXED_BODIES } from '../load.ts';
import { outcomeOf } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario, ScenarioContext, ScenarioResult } from '../scenario.ts';

const WORKERS = 3;

type Fault = (reached: ReachedBroker, awayMs: number) => Promise<void>;

const killed: Fault = async ({ broker }, awayMs) => {
  await broker.kill();
  await delay(awayMs);
  await broker.start();
};

const wiped: Fault = async ({ broker }, awayMs) => {
  await broker.kill();
  await broker.wipe();
  await delay(awayMs);
  await broker.start();
};

const frozen: Fault = async ({ broker }, awayMs) => {
  await broker.pause();
  await delay(awayMs);
  await broker.resume();
};

const cut: Fault = async ({ way }, awayMs) => {
  way.silence();
  await delay(awayMs);
  way.unsilence();
};

/** A broker is hurt while requests run; a worker that starts meanwhile must be used soon afterwards. */
async function hurt(
  { size, progress }: ScenarioContext,
  which: 'etcd' | 'nats',
  fault: Fault,
): Promise<ScenarioResult> {
  const awayMs = bySize(size, { short: 8000, long: 60_000 });
  await using fleet = await Fleet.start({
    planes: 'brokers',
    workers: WORKERS,
    routers: 1,
    frontends: 2,
  });
  const clients = bySize(size, { short: 4, long: 8 });
  const load = await Load.start({ urls: fleet.urls, clients, bodies: MIXED_BODIES });
  const newcomer = await fleet.add('worker');
  progress(`${which} is away for ${awayMs / 1000} s`);
  const fixed = fault(fleet.brokers[which], awayMs);
  newcomer.launch();
  await fixed;
  // How long a process takes to start on a busy machine is not the broker's doing.
  await newcomer.started();
  const backMs = performance.now();
  await Promise.all(fleet.urls.map((url) => listsInstances(url, WORKERS + 1)));
  const recoverySeconds = (performance.now() - backMs) / 1000;
  await eventually(async () => (await newcomer.metric('dynamo_component_requests_total')) > 0, {
    timeoutMs: 30_000,
    what: 'the worker that joined meanwhile is used',
  });
  // What was known before must have registered again: no request fails after every lease has had its time.
  await delay(bySize(size, { short: which === 'etcd' ? 12_000 : 4000, long: 20_000 }));
  const counts = await load.stop();
  const ending = await complete(fleet.urls[0] ?? '', { prompt: 'still there?', max_tokens: 4 });
  return outcomeOf(counts, {
    recoverySeconds,
    problems: ending.kind === 'answered' ? [] : [`afterwards: ${JSON.stringify(ending)}`],
  });
}

/** Waits until a frontend knows so many workers. */
async function listsInstances(url: string, count: number): Promise<void> {
  await eventually(
    async () => {
      const health: unknown = await (await fetch(`${url}/health`)).json();
      return (health as { readonly instances: readonly unknown[] }).instances.length >= count;
    },
    { timeoutMs: 30_000, what: `the worker that joined meanwhile is known to ${url}` },
  );
}

function brokerScenario(
  which: 'etcd' | 'nats',
  how: string,
  [name, fault]: readonly [string, Fault],
): Scenario {
  return {
    name: `${which}-${name}`,
    outage: 8,
    load: '4 clients (8 in the long form) on two frontends, router service, three workers',
    fault: `${which} ${how}`,
    assertion: 'no request fails; a worker that starts meanwhile is used soon afterwards',
    run: (context) => hurt(context, which, fault),
  };
}

/** Both brokers, each hurt in several ways. */
export const BROKER_SCENARIOS: readonly Scenario[] = [
  brokerScenario('etcd', 'killed and started again', ['killed', killed]),
  brokerScenario('etcd', 'killed, its data wiped, started again', ['wiped', wiped]),
  brokerScenario('etcd', 'frozen, then running again', ['frozen', frozen]),
  brokerScenario('etcd', 'cut off: nothing gets through, then everything again', ['cut', cut]),
  brokerScenario('nats', 'killed and started again', ['killed', killed]),
  brokerScenario('nats', 'frozen, then running again', ['frozen', frozen]),
  brokerScenario('nats', 'cut off: nothing gets through, then everything again', ['cut', cut]),
];

/** A worker whose lease ends while it is frozen comes back by itself. */
export const LEASE_LOST: Scenario = {
  name: 'lease-lost',
  outage: 8,
  load: '8 clients',
  fault: 'a worker frozen for longer than its lease',
  assertion: 'nothing is sent to it after its lease has ended; it registers again by itself',
  async run({ progress }) {
    await using fleet = await Fleet.start({ planes: 'brokers', workers: 3 });
    const load = await Load.start({ urls: fleet.urls, clients: 8, bodies: MIXED_BODIES });
    const worker = fleet.one('worker');
    worker.pause();
    progress('the lease runs out');
    await delay(20_000);
    worker.resume();
    const backMs = performance.now();
    const before = await worker.metric('dynamo_component_requests_total');
    await eventually(
      async () => (await worker.metric('dynamo_component_requests_total')) > before,
      { timeoutMs: 30_000, what: 'the worker is used again' },
    );
    const recoverySeconds = (performance.now() - backMs) / 1000;
    return outcomeOf(await load.stop(), { recoverySeconds });
  },
};
