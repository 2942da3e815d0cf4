/** Large bodies, long silences, models without workers, and one trace through everything. */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { eventually } from '@dynamo-ts/testing';

import { MODEL, complete, post } from '../completion.ts';
import { Fleet } from '../fleet.ts';
import { unless } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario } from '../scenario.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Bodies around the limits that proxies and servers are known to have. */
export const BODY_SIZES: Scenario = {
  name: 'body-sizes',
  outage: 11,
  load: 'one request of each size',
  fault: 'bodies of 127, 128 and 129 KiB, 1, 4 and 16 MiB, and one above the limit',
  assertion:
    'answered, or refused with both token numbers when longer than the context; above the limit a 413',
  async run() {
    // One byte is one token: what is longer than the model's context is refused with both numbers.
    const contextTokens = 2 * MIB;
    await using fleet = await Fleet.start({
      workers: 1,
      frontendArgs: ['--http-body-limit-mb=17'],
      workerArgs: [
        '--speedup-ratio=0',
        `--max-model-len=${contextTokens}`,
        '--num-gpu-blocks-override=40000',
      ],
    });
    const [url = ''] = fleet.urls;
    const sizes = [127 * KIB, 128 * KIB, 129 * KIB, MIB, 4 * MIB, 16 * MIB];
    const problems: string[] = [];
    for (const bytes of sizes) {
      const ending = await complete(url, { prompt: 'p'.repeat(bytes), max_tokens: 2 });
      const isRight =
        bytes < contextTokens
          ? ending.kind === 'answered'
          : ending.kind === 'refused' &&
            ending.status === 400 &&
            ending.message.includes(String(contextTokens));
      if (!isRight) problems.push(`${bytes} bytes: ${JSON.stringify(ending)}`);
    }
    const tooLarge = await complete(url, { prompt: 'p', user: 'u'.repeat(18 * MIB) });
    const is413 = tooLarge.kind === 'refused' && tooLarge.status === 413;
    return {
      requests: sizes.length + 1,
      failed: problems.length,
      stuck: 0,
      notes: [],
      problems: [...problems, ...unless(is413, `18 MiB: ${JSON.stringify(tooLarge)}`)],
    };
  },
};

/** A prefill that takes longer than proxies wait for a byte. */
export const SILENT_PREFILL: Scenario = {
  name: 'silent-prefill',
  outage: 12,
  load: 'one stream',
  fault: 'a prefill without a token for a long time (300 s in the long form)',
  assertion: 'comments keep the connection alive; the answer comes whole',
  async run({ size }) {
    const seconds = bySize(size, { short: 6, long: 300 });
    const intervalMs = bySize(size, { short: 1000, long: 15_000 });
    // The mocker computes a prompt of this length in about 120 ms at full speed.
    await using fleet = await Fleet.start({
      workers: 1,
      frontendArgs: [`--http-sse-keep-alive-interval=${intervalMs}`],
      workerArgs: [
        `--startup-time=0`,
        `--speedup-ratio=${0.06 / seconds}`,
        '--max-model-len=20000',
      ],
      // At this speed even the shortest request takes long: the fleet is not tried out first.
      cold: true,
    });
    for (const service of fleet.services) await service.start();
    await eventually(
      async () => (await (await fetch(`${fleet.urls[0]}/v1/models`)).text()).includes(MODEL),
      { timeoutMs: 30_000, what: 'the model is listed' },
    );
    const startedMs = performance.now();
    const response = await post(fleet.urls[0] ?? '', {
      model: MODEL,
      prompt: 'silence '.repeat(1000),
      max_tokens: 1,
      stream: true,
    });
    const text = await response.text();
    const took = (performance.now() - startedMs) / 1000;
    const comments = text.split('\n').filter((line) => line.startsWith(':')).length;
    return {
      requests: 1,
      failed: text.includes('[DONE]') ? 0 : 1,
      stuck: 0,
      notes: [`${took.toFixed(0)} s, ${comments} comments`],
      problems: [
        ...unless(text.includes('[DONE]'), `the stream was ${text.slice(-200)}`),
        ...unless(took > seconds / 3, `the prefill took only ${took.toFixed(1)} s`),
        ...unless(comments >= (took * 1000) / intervalMs / 2, `only ${comments} comments`),
      ],
    };
  },
};

/** All workers gone, and back. */
export const SCALE_TO_ZERO: Scenario = {
  name: 'scale-to-zero',
  outage: 10,
  load: 'a request before, meanwhile and after',
  fault: 'every worker is stopped; later one is started',
  assertion: 'meanwhile 503 and not 404; then answers again by itself',
  async run() {
    await using fleet = await Fleet.start({ workers: 2 });
    const [url = ''] = fleet.urls;
    await Promise.all(fleet.all('worker').map((worker) => worker.terminate()));
    const meanwhile = await complete(url, { prompt: 'x', max_tokens: 1 });
    const is503 = meanwhile.kind === 'refused' && meanwhile.status === 503;
    const backMs = performance.now();
    await fleet.one('worker').start();
    await eventually(
      async () => (await complete(url, { prompt: 'x', max_tokens: 1 })).kind === 'answered',
      { timeoutMs: 30_000, what: 'the model answers again' },
    );
    return {
      requests: 3,
      failed: 0,
      stuck: 0,
      recoverySeconds: (performance.now() - backMs) / 1000,
      notes: [],
      problems: unless(is503, `meanwhile: ${JSON.stringify(meanwhile)}`),
    };
  },
};

/** One trace id in the log lines of every service. */
export const ONE_TRACE: Scenario = {
  name: 'one-trace',
  outage: 18,
  load: 'one request with a traceparent header',
  fault: 'none: HTTP, gRPC and NATS are crossed',
  assertion: 'frontend, router and worker log the trace id that the client sent',
  async run() {
    await using fleet = await Fleet.start({
      planes: 'brokers',
      routers: 1,
      workers: 1,
      log: 'info',
    });
    const traceId = randomBytes(16).toString('hex');
    const response = await fetch(`${fleet.urls[0]}/v1/completions`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01`,
      },
      body: JSON.stringify({ model: MODEL, prompt: 'trace me', max_tokens: 4 }),
    });
    await response.text();
    await delay(500);
    const without = fleet.services.filter(({ output }) => !output.includes(traceId));
    return {
      requests: 1,
      failed: response.status === 200 ? 0 : 1,
      stuck: 0,
      notes: [],
      problems: without.map(({ name }) => `${name} does not log the trace id`),
    };
  },
};
