/** Clients that leave, in every phase of a request and over every protocol: the engine must not go on working for them. */
import { setTimeout as delay } from 'node:timers/promises';

import { EngineServiceClient, GenerateRequest, tokenIdsToBytes } from '@dynamo-ts/protocol';
import { eventually, freePort, quantile } from '@dynamo-ts/testing';
import { credentials } from '@grpc/grpc-js';

import { asSoonAs } from '../as-soon-as.ts';
import { MODEL, post } from '../completion.ts';
import { Fleet } from '../fleet.ts';
import { unless } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario } from '../scenario.ts';
import { sumOf } from '../service.ts';

const LIMIT_MS = 100;

/** Clients that leave in every phase. */
export const DISCONNECTS: Scenario = {
  name: 'disconnects',
  outage: 2,
  load: 'one request at a time, for each phase again and again',
  fault:
    'the client leaves while its request is tokenised, queued in the engine, in prefill, or in decode; a gRPC caller cancels',
  assertion:
    'the engine is idle within 100 ms (p99; the median in the short form, beside which the machine may do other things), or never gets what left before',
  alone: true,
  async run({ size, progress }) {
    const rounds = bySize(size, { short: 30, long: 300 });
    const share = bySize(size, { short: 0.5, long: 0.99 });
    const grpcPort = await freePort();
    await using fleet = await Fleet.start({
      workers: 1,
      routers: 1,
      routerArgs: ['--router-grpc-host=127.0.0.1', `--router-grpc-port=${grpcPort}`],
      workerArgs: ['--speedup-ratio=0.2', '--max-num-seqs=1', '--max-model-len=8000000'].concat(
        '--num-gpu-blocks-override=130000',
      ),
    });
    const notes: string[] = [];
    const problems: string[] = [];
    const judge = (phase: string, latencies: readonly number[]): void => {
      progress(`${phase} done`);
      notes.push(`${phase}: p50 ${ms(latencies, 0.5)}, p99 ${ms(latencies, 0.99)}`);
      problems.push(
        ...unless(quantile(latencies, share) < LIMIT_MS, `${phase}: ${ms(latencies, share)}`),
      );
    };
    judge('decode', await again(rounds, (round) => leaveDecode(fleet, round)));
    judge('prefill', await again(rounds, (round) => leavePrefill(fleet, round)));
    judge('gRPC', await again(rounds, () => cancelGrpc(fleet, grpcPort)));
    judge('queued', await leaveQueue(fleet, rounds));
    const tokenised = bySize(size, { short: 5, long: 40 });
    const stray = await leaveTokenising(fleet, tokenised);
    notes.push(`tokenising: ${stray} of ${tokenised} had reached the engine, and left it`);
    const page = await fleet.one('worker').metrics();
    for (const phase of ['queued', 'prefill', 'decode']) {
      const { confirmed, within } = confirmedBy(page, phase);
      notes.push(`${phase}: the worker measured ${within} of ${confirmed} within 100 ms`);
      problems.push(
        ...unless(confirmed > 0, `the worker confirmed nothing in phase ${phase}`),
        ...unless(within >= share * confirmed, `${phase}: ${within} of ${confirmed} in time`),
      );
    }
    return { requests: 4 * rounds + tokenised, failed: 0, stuck: 0, notes, problems };
  },
};

/** What the worker's own histogram says of requests that were given up. */
function confirmedBy(page: string, phase: string): { confirmed: number; within: number } {
  const name = 'dynamo_component_cancellation_latency_seconds';
  const ofPhase = page
    .split('\n')
    .filter((line) => line.includes(`phase="${phase}"`))
    .join('\n');
  return {
    confirmed: sumOf(ofPhase, `${name}_count`),
    within: sumOf(ofPhase, `${name}_bucket`, 'le="0.1"'),
  };
}

async function again(
  rounds: number,
  once: (round: number) => Promise<number>,
): Promise<readonly number[]> {
  const latencies: number[] = [];
  for (let round = 0; round < rounds; round += 1) latencies.push(await once(round));
  return latencies;
}

async function leaveDecode(fleet: Fleet, round: number): Promise<number> {
  const client = new AbortController();
  const response = await post(fleet.urls[0] ?? '', body(`${round} decode`), client.signal);
  await response.body?.getReader().read();
  return idleAfter(fleet, () => client.abort());
}

async function leavePrefill(fleet: Fleet, round: number): Promise<number> {
  const client = new AbortController();
  const prompt = `${round} ${'long prompt '.repeat(1500)}`;
  post(fleet.urls[0] ?? '', body(prompt), client.signal).catch(() => undefined);
  await asSoonAs(async () => (await fleet.inFlight()) > 0, 'the engine has the request');
  return idleAfter(fleet, () => client.abort());
}

/** A caller of the router's public engine service. */
async function cancelGrpc(fleet: Fleet, port: number): Promise<number> {
  const client = new EngineServiceClient(`127.0.0.1:${port}`, credentials.createInsecure());
  const tokenIdsLe = Buffer.from(tokenIdsToBytes(Uint32Array.from({ length: 40 }, (_, id) => id)));
  const call = client.generate(
    GenerateRequest.fromPartial({ model: MODEL, tokenIdsLe, stopConditions: { maxTokens: 400 } }),
  );
  call.on('error', () => undefined); // it is cancelled
  await new Promise((resolve) => call.once('data', resolve));
  const latency = await idleAfter(fleet, () => call.cancel());
  client.close();
  return latency;
}

/** Clients leave while another request has the engine's only place. */
async function leaveQueue(fleet: Fleet, rounds: number): Promise<readonly number[]> {
  const [url = ''] = fleet.urls;
  const holder = new AbortController();
  const held = await post(url, body('holds the place', 20_000), holder.signal);
  await held.body?.getReader().read();
  const latencies = await again(rounds, async (round) => {
    const client = new AbortController();
    post(url, body(`waits ${round}`), client.signal).catch(() => undefined);
    await asSoonAs(async () => (await fleet.inFlight()) > 1, 'the engine has both requests');
    return idleAfter(fleet, () => client.abort(), 1);
  });
  await idleAfter(fleet, () => holder.abort());
  return latencies;
}

/**
 * Clients of prompts of millions of tokens leave at several moments before the engine begins.
 *
 * @returns how many requests had reached the engine by then
 */
async function leaveTokenising(fleet: Fleet, rounds: number): Promise<number> {
  const [url = ''] = fleet.urls;
  const [frontend, worker] = [fleet.one('frontend'), fleet.one('worker')];
  const received = async (): Promise<number> =>
    frontend.metric('dynamo_frontend_inflight_requests');
  const total = async (): Promise<number> =>
    worker.metric('dynamo_component_requests_total', 'dynamo_endpoint="generate"');
  const before = await total();
  for (let round = 0; round < rounds; round += 1) {
    const client = new AbortController();
    const prompt = `${round} `.padEnd(6_000_000, `tokens ${round} `);
    let isOver = false;
    post(url, body(prompt), client.signal)
      .catch(() => undefined)
      .finally(() => (isOver = true));
    await asSoonAs(async () => isOver || (await received()) > 0, 'the frontend has the request');
    await delay((round % 5) * 10);
    client.abort();
    // What is in native code comes to its end first; it must not be sent on.
    await delay(300);
    await eventually(async () => (await fleet.inFlight()) === 0, {
      timeoutMs: 20_000,
      what: 'the engine has nothing to do for a client that left while it was tokenised for',
    });
  }
  await eventually(async () => (await received()) === 0, {
    timeoutMs: 20_000,
    what: 'the frontend has given up what its clients have left',
  });
  return (await total()) - before;
}

/** Milliseconds from the client's leaving until the engine has no more than so many requests. */
async function idleAfter(fleet: Fleet, leave: () => void, most = 0): Promise<number> {
  const leftMs = performance.now();
  leave();
  await asSoonAs(async () => (await fleet.inFlight()) <= most, 'the engine is idle');
  return performance.now() - leftMs;
}

function body(prompt: string, maxTokens = 400): object {
  return { model: MODEL, prompt, max_tokens: maxTokens, stream: true };
}

function ms(values: readonly number[], share: number): string {
  return `${quantile(values, share).toFixed(1)} ms`;
}
