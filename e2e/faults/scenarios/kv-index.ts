/** What routers know of caches: lost events, restarted routers and workers, several routers with one prompt. */
import { setTimeout as delay } from 'node:timers/promises';

import { eventually } from '@dynamo-ts/testing';

import { complete } from '../completion.ts';
import type { Body } from '../completion.ts';
import { Fleet } from '../fleet.ts';
import { unless } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario } from '../scenario.ts';
import { sumOf } from '../service.ts';
import type { Service } from '../service.ts';

const BLOCKS_AT_WORKER = 'dynamo_component_kv_publisher_blocks';
const BLOCKS_AT_ROUTER = 'dynamo_component_router_kv_index_blocks';
const FAST = ['--speedup-ratio=20', '--num-gpu-blocks-override=400', '--block-size=16'];

/** Long prompts of which many begin alike: about 100 blocks of 16 tokens each. */
function prompt(index: number, prefixes = 12): Body {
  const prefix = `prefix ${index % prefixes} `.padEnd(1400, `text ${index % prefixes} `);
  return { prompt: prefix + `own ${index}`.padEnd(200, ' own'), max_tokens: 4 };
}

/** Sends requests, eight at a time. */
async function send(
  url: string,
  from: number,
  count: number,
): Promise<{ readonly failed: number; readonly cached: number; readonly of: number }> {
  let next = from;
  let failed = 0;
  let cached = 0;
  let answered = 0;
  const client = async (): Promise<void> => {
    for (let index = next++; index < from + count; index = next++) {
      const ending = await complete(url, prompt(index));
      if (ending.kind === 'answered') {
        answered += 1;
        cached += ending.answer.cachedTokens ?? 0;
      } else failed += 1;
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  return { failed, cached, of: answered };
}

/** Whether the router's index holds as many blocks of every worker as the worker itself says. */
async function agrees(router: Service, workers: readonly Service[]): Promise<boolean> {
  const page = await router.metrics();
  const demoted = sumOf(page, 'dynamo_component_router_kv_index_demoted');
  const own = await Promise.all(workers.map((worker) => worker.metric(BLOCKS_AT_WORKER)));
  const total = own.reduce((sum, blocks) => sum + blocks, 0);
  return demoted === 0 && total > 0 && sumOf(page, BLOCKS_AT_ROUTER) === total;
}

/** Events that nobody delivers for a while. */
export const KV_EVENTS_LOST: Scenario = {
  name: 'kv-events-lost',
  outage: 5,
  load: '8 clients with prompts that begin alike; caches that evict all the time',
  fault:
    'the event broker is cut off and killed in turn, a worker is killed and another one started',
  assertion:
    'afterwards the router holds exactly the blocks that the workers say they hold; no rank stays demoted',
  async run({ size, progress }) {
    const rounds = bySize(size, { short: 2, long: 10 });
    await using fleet = await Fleet.start({
      planes: 'brokers',
      workers: 3,
      routers: 1,
      workerArgs: FAST,
    });
    const [url = ''] = fleet.urls;
    const router = fleet.one('router');
    const { nats } = fleet.brokers;
    let failed = 0;
    let requests = 0;
    let slowest = 0;
    for (let round = 0; round < rounds; round += 1) {
      const load = send(url, round * 1000, 160);
      if (round % 2 === 0) {
        nats.way.silence();
        await delay(2000);
        nats.way.unsilence();
      } else {
        await nats.broker.kill();
        await delay(1500);
        await nats.broker.start();
      }
      await fleet.one('worker', round).kill();
      await (await fleet.add('worker')).start();
      const counts = await load;
      failed += counts.failed;
      requests += 160;
      const endedMs = performance.now();
      const workers = fleet.all('worker').filter(({ runs }) => runs);
      await eventually(() => agrees(router, workers), {
        timeoutMs: 40_000,
        what: 'the index equals what the workers hold',
      });
      slowest = Math.max(slowest, performance.now() - endedMs);
      progress(`${round + 1} of ${rounds} rounds`);
    }
    const page = await router.metrics();
    const gaps = sumOf(page, 'dynamo_component_router_kv_index_gaps_total');
    const resyncs = sumOf(page, 'dynamo_component_router_kv_index_resyncs_total');
    return {
      requests,
      failed,
      stuck: 0,
      recoverySeconds: slowest / 1000,
      notes: [`${gaps} gaps seen, ${resyncs} restores`],
      problems: unless(failed === 0, `${failed} requests failed`),
    };
  },
};

/** A router that comes back knows what is where. */
export const ROUTER_WARM_UP: Scenario = {
  name: 'router-warm-up',
  outage: 6,
  load: '8 clients with prompts that begin alike',
  fault: 'SIGKILL and start of the only router',
  assertion: 'its share of cached tokens is the former one from the first seconds on',
  async run({ size }) {
    const count = bySize(size, { short: 120, long: 600 });
    await using fleet = await Fleet.start({
      workers: 3,
      routers: 1,
      workerArgs: ['--speedup-ratio=20', '--num-gpu-blocks-override=2000', '--block-size=16'],
    });
    const [url = ''] = fleet.urls;
    const router = fleet.one('router');
    await send(url, 0, count);
    const before = await send(url, 10_000, count);
    await router.kill();
    const startMs = performance.now();
    await router.start();
    const recoverySeconds = (performance.now() - startMs) / 1000;
    const after = await send(url, 20_000, count);
    const share = after.cached / after.of / (before.cached / before.of);
    const failed = before.failed + after.failed;
    return {
      requests: 3 * count,
      failed,
      stuck: 0,
      recoverySeconds,
      notes: [`cached tokens per request are ${(share * 100).toFixed(0)} % of those before`],
      problems: [
        ...unless(failed === 0, `${failed} requests failed`),
        ...unless(share > 0.9, `the cached share fell to ${(share * 100).toFixed(0)} %`),
      ],
    };
  },
};

/** Several routers, one system prompt. */
export const HERDING: Scenario = {
  name: 'herding',
  outage: 7,
  load: '24 clients, every prompt with the same long beginning, three routers, eight workers',
  fault: 'none: routers that do not know of each other would all choose the same worker',
  assertion: 'the busiest worker gets less than 1.3 times the mean',
  async run({ size }) {
    const count = bySize(size, { short: 400, long: 4000 });
    await using fleet = await Fleet.start({
      workers: 8,
      routers: 3,
      workerArgs: ['--speedup-ratio=2', '--block-size=16'],
    });
    const [url = ''] = fleet.urls;
    const before = await served(fleet);
    let next = 0;
    let failed = 0;
    const client = async (): Promise<void> => {
      for (let index = next++; index < count; index = next++) {
        const body = { ...prompt(0, 1), prompt: `${String(prompt(0, 1)['prompt'])} ${index}` };
        const ending = await complete(url, { ...body, max_tokens: 24 });
        if (ending.kind !== 'answered') failed += 1;
      }
    };
    await Promise.all(Array.from({ length: 24 }, client));
    const after = await served(fleet);
    const counts = after.map((total, worker) => total - (before[worker] ?? 0));
    const spread = Math.max(...counts) / (count / counts.length);
    return {
      requests: count,
      failed,
      stuck: 0,
      notes: [`requests by worker ${counts.join(', ')}: max/mean ${spread.toFixed(2)}`],
      problems: [
        ...unless(failed === 0, `${failed} requests failed`),
        ...unless(spread < 1.3, `max/mean is ${spread.toFixed(2)}`),
      ],
    };
  },
};

async function served(fleet: Fleet): Promise<readonly number[]> {
  return Promise.all(
    fleet
      .all('worker')
      .map((worker) =>
        worker.metric('dynamo_component_requests_total', 'dynamo_endpoint="generate"'),
      ),
  );
}
