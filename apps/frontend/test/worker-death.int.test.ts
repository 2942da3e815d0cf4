/** Mock workers in processes of their own that are killed under load, as users see it: nobody notices. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { DistributedRuntime, createPlanes } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { NodeProgram, eventually, freePort } from '@dynamo-ts/testing';
import { expect, it } from 'vitest';

import { eventsOf } from './scripted-worker.ts';

const FRONTEND = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const WORKER = fileURLToPath(new URL('../../worker-shim/src/main.ts', import.meta.url));
const WORKERS = 6;
/** Two workers die at a time. */
const ROUNDS = 8;
const CLIENTS = 12;
const START_TIMEOUT_MS = 60_000;

/** What a client has of one answer; the cached share of the prompt depends on the worker. */
interface Answer {
  readonly texts: readonly string[];
  readonly finish: readonly (string | null)[];
  readonly logprobs: readonly number[];
  readonly promptTokens: number | undefined;
  readonly completionTokens: number | undefined;
  readonly error: unknown;
}

interface Completion {
  readonly choices?: readonly {
    readonly index: number;
    readonly text: string;
    readonly finish_reason: string | null;
    readonly logprobs?: { readonly token_logprobs: readonly number[] } | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
  readonly error?: unknown;
}

/** A frontend and its workers, each a process. */
class Fleet implements AsyncDisposable {
  readonly url: string;
  readonly #folder: string;
  readonly #frontend: NodeProgram;
  readonly #workers: NodeProgram[] = [];
  /** Every instance that was ever registered. */
  readonly #seen = new Set<bigint>();
  #started = 0;
  readonly #stop: () => Promise<void>;

  private constructor(folder: string, port: number, stop: () => Promise<void>) {
    this.url = `http://127.0.0.1:${port}`;
    this.#folder = folder;
    this.#stop = stop;
    this.#frontend = this.#run(FRONTEND, ['--http-host=127.0.0.1', `--http-port=${port}`]);
  }

  static async start(): Promise<Fleet> {
    const folder = await mkdtemp(join(tmpdir(), 'worker-death-'));
    const planes = await createPlanes({
      discoveryBackend: 'file',
      requestPlane: 'grpc',
      eventPlane: 'direct',
      fileDiscoveryDir: folder,
      rpcHost: '127.0.0.1',
      logger: nullLogger,
    });
    const runtime = await DistributedRuntime.connect({ ...planes, logger: nullLogger });
    const client = await runtime.endpoint('dynamo.backend.generate').client();
    const fleet = new Fleet(folder, await freePort(), async () => {
      await runtime.close();
      await planes.close();
    });
    client.onInstances(({ instance }) => fleet.#seen.add(instance.instanceId));
    await fleet.grow(WORKERS);
    await eventually(
      async () => {
        const models = (await (await fetch(`${fleet.url}/v1/models`)).json()) as {
          data: unknown[];
        };
        return models.data.length > 0;
      },
      { timeoutMs: START_TIMEOUT_MS },
    );
    return fleet;
  }

  /** Starts workers and waits until they are registered. */
  async grow(count: number): Promise<void> {
    for (let index = 0; index < count; index += 1) {
      this.#workers.push(this.#run(WORKER, ['--engine=mocker', '--model-name=mock']));
    }
    this.#started += count;
    await eventually(() => this.#seen.size >= this.#started, { timeoutMs: START_TIMEOUT_MS });
  }

  /** Kills the workers that have run longest. */
  async kill(count: number): Promise<void> {
    await Promise.all(this.#workers.splice(0, count).map((worker) => worker.kill()));
  }

  async metric(pattern: RegExp): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    return Number(pattern.exec(text)?.[1] ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#workers, this.#frontend].map((program) => program.kill()));
    await this.#stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #run(script: string, args: readonly string[]): NodeProgram {
    return NodeProgram.start(script, {
      args: [
        ...['--discovery-backend=file', `--file-discovery-dir=${this.#folder}`],
        ...['--request-plane=grpc', '--event-plane=direct'],
        ...['--rpc-host=127.0.0.1', '--rpc-advertised-host=127.0.0.1', ...args],
      ],
      env: { DYN_LOG: 'error' },
    });
  }
}

async function ask(url: string, body: object): Promise<Answer> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'mock', ...body }),
  });
  const text = await response.text();
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  const parts = (isStream ? eventsOf(text) : [JSON.parse(text)]) as Completion[];
  const choices = parts.flatMap((part) => part.choices ?? []);
  const indices = [...new Set(choices.map(({ index }) => index))].sort();
  const of = (index: number) => choices.filter((choice) => choice.index === index);
  const usage = parts.flatMap((part) => part.usage ?? []).at(-1);
  return {
    texts: indices.map((index) =>
      of(index)
        .map((choice) => choice.text)
        .join(''),
    ),
    finish: indices.map((index) => of(index).at(-1)?.finish_reason ?? null),
    logprobs: indices.flatMap((index) =>
      of(index).flatMap(({ logprobs }) => logprobs?.token_logprobs ?? []),
    ),
    promptTokens: usage?.prompt_tokens,
    completionTokens: usage?.completion_tokens,
    error: parts.find(({ error }) => error !== undefined)?.error,
  };
}

const stream = { stream: true, stream_options: { include_usage: true } };

/** Bodies of every kind; the last one ends at a string that is somewhere in the middle of its text. */
async function bodies(url: string): Promise<readonly object[]> {
  const last = { prompt: 'stop there', max_tokens: 200, seed: 8 };
  const { texts } = await ask(url, last);
  return [
    { prompt: 'one', max_tokens: 200, seed: 1, ...stream },
    { prompt: 'a longer prompt of several blocks '.repeat(8), max_tokens: 150, seed: 2, ...stream },
    { prompt: 'without a limit', seed: 3, ...stream },
    { prompt: 'probable', max_tokens: 120, logprobs: 1, seed: 4, ...stream },
    { prompt: ['two', 'prompts'], n: 2, max_tokens: 100, temperature: 1, seed: 5, ...stream },
    { prompt: 'whole', max_tokens: 150, seed: 6 },
    { prompt: 'at least', max_tokens: 150, min_tokens: 140, seed: 7, ...stream },
    { ...last, stop: [texts[0]?.slice(140, 146)], ...stream },
  ];
}

it('fails no request and changes no answer when workers are killed under load', async () => {
  await using fleet = await Fleet.start();
  const asked = await bodies(fleet.url);
  const undisturbed = await Promise.all(asked.map((body) => ask(fleet.url, body)));
  expect(undisturbed.map(({ error }) => error)).toEqual(asked.map(() => undefined));
  let answered = 0;
  let stopped = false;
  const clients = Array.from({ length: CLIENTS }, async (_, client) => {
    for (let turn = client; !stopped; turn += 1) {
      const index = turn % asked.length;
      expect(await ask(fleet.url, asked[index] ?? {})).toEqual(undisturbed[index]);
      answered += 1;
    }
  });
  const killing = (async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      await fleet.grow(2);
      await fleet.kill(2);
    }
  })();
  try {
    // A client that fails ends the test at once.
    await Promise.race([killing, Promise.all(clients)]);
  } finally {
    stopped = true;
  }
  await killing;
  await Promise.all(clients);
  expect(answered).toBeGreaterThan(CLIENTS);
  const moves = await fleet.metric(
    /^dynamo_frontend_model_migration_total\{model="mock",migration_type="ongoing_request"\} (\d+)$/m,
  );
  expect(moves).toBeGreaterThan(ROUNDS);
  // What the killed workers ran has ended like everything else.
  const active = /^dynamo_component_router_active_requests\{[^}]*\} (\d+)$/m;
  await eventually(async () => (await fleet.metric(active)) === 0, { timeoutMs: START_TIMEOUT_MS });
}, 300_000);
