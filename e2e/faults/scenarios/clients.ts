/** Clients that send nonsense, ask for models that are not there, or hardly read. */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { eventually, residentMiB } from '@dynamo-ts/testing';

import { MODEL, complete, post } from '../completion.ts';
import { Fleet } from '../fleet.ts';
import { Load, MIXED_BODIES } from '../load.ts';
import { outcomeOf, unless } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario } from '../scenario.ts';
import { sumOf } from '../service.ts';
import { SlowReader } from '../slow-reader.ts';

/** A storm of requests that can only be refused. */
export const CLIENT_ERRORS: Scenario = {
  name: 'client-errors',
  outage: 1,
  load: '6 clients',
  fault: 'thousands of invalid requests beside them',
  assertion: 'each gets a 4xx; no worker is shut out; the good requests do not notice',
  async run({ size }) {
    const storm = bySize(size, { short: 2000, long: 50_000 });
    await using fleet = await Fleet.start({
      workers: 2,
      workerArgs: ['--speedup-ratio=1', '--max-model-len=4096'],
    });
    const [url = ''] = fleet.urls;
    const load = await Load.start({ urls: fleet.urls, clients: 6, bodies: MIXED_BODIES });
    const bad = [
      { model: MODEL, prompt: 'x', max_tokens: -1 },
      { model: MODEL, prompt: 'x', temperature: 9 },
      { model: MODEL, prompt: 'x'.repeat(20_000), max_tokens: 1 },
      { model: MODEL, prompt: { not: 'a prompt' } },
      { model: MODEL, prompt: 'x', nvext: { backend_instance_id: 'nobody' } },
    ];
    const statuses = new Map<number, number>();
    await inTurn(storm, 16, async (index) => {
      const response = await post(url, bad[index % bad.length] ?? {});
      await response.arrayBuffer();
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
    });
    const counts = await load.stop();
    const page = await fleet.one('frontend').metrics();
    const inhibited = sumOf(page, 'dynamo_runtime_inhibited_instances');
    const notClient = [...statuses].filter(([status]) => status < 400 || status > 499);
    return outcomeOf(counts, {
      notes: [
        `${storm} bad requests: ${[...statuses].map((entry) => entry.join(' × ')).join(', ')}`,
      ],
      problems: [
        ...unless(inhibited === 0, `${inhibited} workers are shut out`),
        ...unless(notClient.length === 0, `not only 4xx: ${JSON.stringify(notClient)}`),
      ],
    });
  },
};

/** Ten thousand names that no model has. */
export const UNKNOWN_MODELS: Scenario = {
  name: 'unknown-models',
  outage: 14,
  load: 'requests one after another',
  fault: 'thousands of different model names that do not exist',
  assertion: 'each gets a 404; the metrics page does not grow',
  async run({ size }) {
    const names = bySize(size, { short: 2000, long: 10_000 });
    await using fleet = await Fleet.start({ workers: 1 });
    const [url = ''] = fleet.urls;
    const frontend = fleet.one('frontend');
    await complete(url, { prompt: 'x', max_tokens: 1 }, { model: 'nobody' });
    const before = (await frontend.metrics()).length;
    let failed = 0;
    await inTurn(names, 16, async (index) => {
      const ending = await complete(url, { prompt: 'x' }, { model: `model-${index}` });
      if (ending.kind !== 'refused' || ending.status !== 404) failed += 1;
    });
    const grown = (await frontend.metrics()).length / before;
    return {
      requests: names,
      failed,
      stuck: 0,
      notes: [`metrics page grew to ${(grown * 100).toFixed(0)} % of its size`],
      problems: [
        ...unless(failed === 0, `${failed} were not answered with 404`),
        ...unless(grown < 1.5, `the metrics page is ${grown.toFixed(1)} times as long`),
      ],
    };
  },
};

/** Readers of one byte a second. */
export const SLOW_READERS: Scenario = {
  name: 'slow-readers',
  outage: 17,
  load: '6 clients',
  fault: 'hundreds of clients that take long streams and read one byte a second',
  assertion: 'the good clients do not notice; memory stays bounded',
  alone: true,
  async run({ size, progress }) {
    const readers = bySize(size, { short: 200, long: 500 });
    const seconds = bySize(size, { short: 10, long: 120 });
    await using fleet = await Fleet.start({
      workers: 2,
      workerArgs: ['--speedup-ratio=10', '--max-num-seqs=1024'],
    });
    const [url = ''] = fleet.urls;
    const { pid } = fleet.one('frontend');
    const load = await Load.start({ urls: fleet.urls, clients: 6, bodies: MIXED_BODIES });
    const before = residentMiB(pid);
    const slow = Array.from({ length: readers }, (_, seed) => SlowReader.start(url, seed));
    let most = before;
    for (let second = 0; second < seconds; second += 1) {
      await delay(1000);
      most = Math.max(most, residentMiB(pid));
    }
    progress(`${readers} slow readers for ${seconds} s`);
    const alive = slow.filter((reader) => reader.isOpen).length;
    for (const reader of slow) reader.close();
    await eventually(async () => (await fleet.inFlight()) <= 6, {
      timeoutMs: 30_000,
      what: 'what the slow readers asked for is given up',
    });
    const counts = await load.stop();
    const perReader = (most - before) / readers;
    return outcomeOf(counts, {
      notes: [
        `frontend ${before.toFixed(0)} → ${most.toFixed(0)} MiB, ${(perReader * 1024).toFixed(0)} KiB a reader; ${alive} of ${readers} still connected`,
      ],
      problems: unless(perReader < 1, `a slow reader costs ${perReader.toFixed(1)} MiB`),
    });
  },
};

/** Connections that never finish their request. */
export const SLOW_LORIS: Scenario = {
  name: 'slow-loris',
  outage: 17,
  load: '6 clients',
  fault: 'hundreds of connections that send a header a second and never end; headers of a megabyte',
  assertion: 'the good clients do not notice; huge headers get a 431',
  async run({ size }) {
    const connections = bySize(size, { short: 200, long: 1000 });
    await using fleet = await Fleet.start({ workers: 2 });
    const { hostname, port } = new URL(fleet.urls[0] ?? '');
    const load = await Load.start({ urls: fleet.urls, clients: 6, bodies: MIXED_BODIES });
    const sockets = Array.from({ length: connections }, () => {
      const socket = connect(Number(port), hostname);
      socket.on('error', () => undefined); // being cut off is what the server may do
      socket.write('POST /v1/completions HTTP/1.1\r\nhost: x\r\n');
      return socket;
    });
    for (let second = 0; second < 5; second += 1) {
      await delay(1000);
      for (const socket of sockets) if (!socket.destroyed) socket.write(`x-${second}: y\r\n`);
    }
    const huge = await hugeHeader(hostname, Number(port));
    for (const socket of sockets) socket.destroy();
    const counts = await load.stop();
    return outcomeOf(counts, {
      notes: [`a header of 1 MiB: ${huge}`],
      problems: unless(huge.includes('431'), `a header of 1 MiB was answered with "${huge}"`),
    });
  },
};

/** First line of the answer to a request with a header of 1 MiB. */
async function hugeHeader(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('data', (chunk: Buffer) => {
      resolve(chunk.toString().split('\r\n')[0] ?? '');
      socket.destroy();
    });
    socket.on('error', () => resolve('connection lost'));
    socket.write(`GET /v1/models HTTP/1.1\r\nhost: x\r\nx-big: ${'a'.repeat(1 << 20)}\r\n\r\n`);
  });
}

/** Runs `count` tasks, at most `width` of them at a time. */
async function inTurn(
  count: number,
  width: number,
  task: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) await task(index);
  };
  await Promise.all(Array.from({ length: width }, lane));
}
