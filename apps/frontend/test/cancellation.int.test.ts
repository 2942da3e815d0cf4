/** Clients that leave, in every phase that is the frontend's own. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { FinishReason } from '@dynamo-ts/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { endlessScript, silentScript, testFrontend, tokens } from './scripted-worker.ts';
import type { Script, TestFrontend } from './scripted-worker.ts';

const PATIENT = { timeout: 20_000, interval: 20 };

/** Sends a request and reads nothing. */
function ask(test: TestFrontend, fields: Readonly<Record<string, unknown>>): Socket {
  const { hostname, port } = new URL(test.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  socket.pause();
  const body = JSON.stringify({ model: 'mock', prompt: 'x', stream: true, ...fields });
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  return socket;
}

/** Waits until the metrics page has a line that begins so and ends with the value. */
async function sees(test: TestFrontend, name: string, value: number): Promise<void> {
  await vi.waitFor(async () => {
    const page = await test.telemetry.metrics.text();
    const line = page.split('\n').find((each) => each.startsWith(name)) ?? `no ${name}`;
    expect(line).toBe(`${name} ${value}`);
  }, PATIENT);
}

/** One request was given up in the phase, once, and nothing of it is left. */
async function expectGivenUp(test: TestFrontend, phase: string): Promise<void> {
  const latency = 'dynamo_frontend_cancellation_latency_seconds_count';
  await sees(test, `${latency}{phase="${phase}"}`, 1);
  const labels = 'model="mock",endpoint="completions",request_type="stream"';
  const ended = `dynamo_frontend_requests_total{${labels},status="error",error_type="cancelled"}`;
  await sees(test, ended, 1);
  await sees(test, `dynamo_frontend_model_cancellation_total{${labels}}`, 1);
  await sees(test, 'dynamo_frontend_disconnected_clients', 1);
  await sees(test, 'dynamo_frontend_active_requests{model="mock"}', 0);
  await sees(test, 'dynamo_frontend_queued_requests{model="mock"}', 0);
  await sees(test, 'dynamo_frontend_admission_gate_used{gate="runtime_task"}', 0);
  await sees(test, 'dynamo_frontend_admission_gate_used{gate="request_plane_connection"}', 0);
  const page = await test.telemetry.metrics.text();
  expect(page.match(new RegExp(`^${latency}`, 'gm'))).toHaveLength(1);
  expect(page.match(/^dynamo_frontend_requests_total/gm)).toHaveLength(1);
  // Nothing is booked on a worker any more.
  const booked = page.match(/^dynamo_frontend_worker_active_(?:decode_blocks|prefill_tokens).*$/gm);
  for (const line of booked ?? []) expect(line).toMatch(/ 0$/);
}

/** Holds every thread that tokenizers run on: nobody writes into the pipe that they open. @returns lets go of them */
async function holdThreads(folder: string): Promise<() => Promise<void>> {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const opening = Array.from({ length: 16 }, () => open(pipe, 'r'));
  await Promise.resolve();
  return async () => {
    const writer = openSync(pipe, 'r+');
    for (const handle of await Promise.all(opening)) await handle.close();
    closeSync(writer);
  };
}

describe('a client that leaves', { timeout: 60_000 }, () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cancellation-'));
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it('while its prompt is tokenised costs no worker anything', async () => {
    let asked = 0;
    const script: Script = () => (asked += 1);
    await using test = await testFrontend({ script });
    const letGo = await holdThreads(folder);
    try {
      // Shorter prompts are tokenised at once, and not by one of those threads.
      const socket = ask(test, { prompt: 'x'.repeat(10_000) });
      await sees(test, 'dynamo_frontend_stage_requests{stage="preprocess",phase=""}', 1);
      socket.destroy();
      // When that is answered the frontend has seen it leave, and its tokenizer has not begun.
      expect((await fetch(`${test.url}/live`)).status).toBe(200);
    } finally {
      await letGo();
    }
    await expectGivenUp(test, 'preprocess');
    expect(asked).toBe(0);
  });

  it('while it waits for a worker leaves the queue', async () => {
    const policy = join(folder, 'policy.yaml');
    await writeFile(
      policy,
      `default_policy_family: all
uncached_isl_buckets: [{ min_tokens: 0, bucket: any }]
policy_classes: [{ name: all, policy_family: all, cache_bucket: any, prefill_busy_threshold: 100 }]
`,
    );
    const { script, started } = silentScript();
    let asked = 0;
    const counting: Script = (...all) => {
      asked += 1;
      return script(...all);
    };
    await using test = await testFrontend({
      script: counting,
      argv: [`--router-policy-config=${policy}`],
    });
    const prompt = 'x'.repeat(500);
    const running = new AbortController();
    const messages = [{ role: 'user', content: prompt }];
    const { signal } = running;
    const first = test
      .post('/v1/chat/completions', { model: 'mock', messages }, { signal })
      .catch(() => undefined);
    await started;
    const socket = ask(test, { prompt });
    await sees(test, 'dynamo_frontend_stage_requests{stage="route",phase="aggregated"}', 1);
    socket.destroy();
    const latency = 'dynamo_frontend_cancellation_latency_seconds_count{phase="route"}';
    await sees(test, latency, 1);
    await sees(test, 'dynamo_frontend_admission_gate_used{gate="runtime_task"}', 1);
    expect(asked).toBe(1);
    running.abort();
    await first;
  });

  it('before the first token ends its request at the worker', async () => {
    const { script, started, killed } = silentScript();
    await using test = await testFrontend({ script });
    const socket = ask(test, {});
    await started;
    await sees(test, 'dynamo_frontend_stage_requests{stage="dispatch",phase="aggregated"}', 1);
    socket.destroy();
    await killed;
    await expectGivenUp(test, 'prefill');
  });

  it('in mid-answer ends its request at the worker', async () => {
    const { script, killed } = endlessScript();
    await using test = await testFrontend({ script });
    const socket = ask(test, {});
    await sees(test, 'dynamo_frontend_queued_requests{model="mock"}', 0);
    socket.destroy();
    await killed;
    await expectGivenUp(test, 'decode');
  });

  it('when the engine has ended and the last tokens wait for it gives up only those', async () => {
    const count = 150_000; // as events far more than sockets take
    let kills = 0;
    const script: Script = (_request, sink, context) => {
      context.killed.addEventListener('abort', () => (kills += 1));
      const finishReason = FinishReason.FINISH_REASON_LENGTH;
      sink.write(tokens(new Uint32Array(count).fill(120), { finishReason }));
      sink.end();
    };
    await using test = await testFrontend({ script, contextLength: 1_000_000 });
    const socket = ask(test, { max_tokens: count });
    await sees(test, 'dynamo_frontend_output_tokens_total{model="mock"}', count);
    await sees(test, 'dynamo_frontend_active_requests{model="mock"}', 1);
    await sees(test, 'dynamo_frontend_waiting_streams', 1);
    await sees(test, 'dynamo_frontend_admission_gate_used{gate="request_plane_connection"}', 0);
    socket.destroy();
    await expectGivenUp(test, 'postprocess');
    await sees(test, 'dynamo_frontend_waiting_streams', 0);
    expect(kills).toBe(0);
  });
});
