/** A worker whose answers a test scripts, and a frontend in front of it, in one process. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { loadConfig } from '@dynamo-ts/config';
import { CardFileCache, buildModelCard } from '@dynamo-ts/preprocess';
import {
  FinishReason,
  GenerateRequest,
  GenerateResponse,
  ModelRecord,
  modelCardKey,
  tokenIdsFromBytes,
} from '@dynamo-ts/protocol';
import type { ModelDeploymentCard } from '@dynamo-ts/protocol';
import { DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import type { Context, Planes, ResponseSink, ServedEndpoint } from '@dynamo-ts/runtime';
import { createTelemetry } from '@dynamo-ts/telemetry';
import type { Telemetry } from '@dynamo-ts/telemetry';

import { FRONTEND_OPTIONS, createFrontend } from '../src/index.ts';
import type { Frontend } from '../src/index.ts';

/** What a scripted worker does with a request. */
export type Script = (request: GenerateRequest, sink: ResponseSink, context: Context) => unknown;

/** Settings of {@link testFrontend}. */
export interface TestFrontendOptions {
  readonly script?: Script;
  /** Flags of the frontend, e.g. `--http-body-limit-mb=1`. */
  readonly argv?: readonly string[];
  readonly workers?: number;
  readonly model?: string;
  /** Further models that the same worker serves at the same endpoint. */
  readonly otherModels?: readonly string[];
  /** Tokens per block. @default 16 */
  readonly blockSize?: number;
  readonly contextLength?: number;
  readonly aliases?: readonly string[];
  readonly modelInput?: 'tokens' | 'text';
}

/** A worker of the test. */
export interface TestWorker extends AsyncDisposable {
  readonly instanceId: bigint;
  /** Leaves discovery and stops serving. */
  close(): Promise<void>;
}

/** A frontend with scripted workers. */
export interface TestFrontend extends AsyncDisposable {
  readonly frontend: Frontend;
  readonly url: string;
  readonly planes: Planes;
  readonly telemetry: Telemetry;
  readonly logs: string[];
  readonly workers: readonly TestWorker[];
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
  addWorker(options?: TestFrontendOptions): Promise<TestWorker>;
}

/** Ids of the built-in byte-level model: the bytes of the text. */
export function idsOf(text: string): Uint32Array {
  return Uint32Array.from(Buffer.from(text));
}

/** The prompt's text. */
export function promptOf(request: GenerateRequest): string {
  const bytes = [...tokenIdsFromBytes(request.tokenIdsLe)].filter((id) => id < 256);
  return Buffer.from(bytes).toString();
}

/** One message of the engine with these ids. */
export function tokens(ids: Uint32Array, fields: Partial<GenerateResponse> = {}): Uint8Array {
  const tokenIdsLe = Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength);
  return GenerateResponse.encode(GenerateResponse.fromPartial({ tokenIdsLe, ...fields })).finish();
}

/** Answers with a text, one token per message, then ends with `stop`. */
export function sayScript(text: string, fields: Partial<GenerateResponse> = {}): Script {
  return (_request, sink) => {
    const ids = idsOf(text);
    for (const [index, id] of ids.entries()) {
      const isLast = index === ids.length - 1;
      const finishReason = isLast
        ? FinishReason.FINISH_REASON_STOP
        : FinishReason.FINISH_REASON_UNSPECIFIED;
      sink.write(tokens(Uint32Array.of(id), { finishReason, ...(isLast ? fields : {}) }));
    }
    sink.end();
  };
}

/** Answers one token at a time until it is killed; tells when. */
export function endlessScript(): {
  script: Script;
  started: Promise<undefined>;
  killed: Promise<undefined>;
} {
  const started = Promise.withResolvers<undefined>();
  const killed = Promise.withResolvers<undefined>();
  const script: Script = (_request, sink, context) => {
    const timer = setInterval(() => sink.write(tokens(idsOf('x'))), 1);
    context.killed.addEventListener('abort', () => {
      clearInterval(timer);
      killed.resolve(undefined);
    });
    started.resolve(undefined);
  };
  return { script, started: started.promise, killed: killed.promise };
}

/** Takes the request and never answers. */
export function silentScript(): {
  script: Script;
  started: Promise<undefined>;
  killed: Promise<undefined>;
} {
  const started = Promise.withResolvers<undefined>();
  const killed = Promise.withResolvers<undefined>();
  const script: Script = (_request, _sink, context) => {
    context.killed.addEventListener('abort', () => killed.resolve(undefined));
    started.resolve(undefined);
  };
  return { script, started: started.promise, killed: killed.promise };
}

/** Starts a frontend and its workers; everything ends with the scope. */
export async function testFrontend(options: TestFrontendOptions = {}): Promise<TestFrontend> {
  const planes = createLocalPlanes();
  const logs: string[] = [];
  const telemetry = createTelemetry({
    service: 'frontend',
    logJsonl: true,
    logDestination: { write: (line: string) => void logs.push(line) },
  });
  const cacheDir = await mkdtemp(join(tmpdir(), 'dynamo-frontend-test-'));
  const addWorker = (more: TestFrontendOptions = {}): Promise<TestWorker> =>
    startWorker(planes, { ...options, ...more }, cacheDir);
  const count = options.workers ?? 1;
  const workers = await Promise.all(Array.from({ length: count }, () => addWorker()));
  const { logger, metrics, tracer } = telemetry;
  const runtime = await DistributedRuntime.connect({ ...planes, logger, metrics, tracer });
  const { config } = loadConfig(FRONTEND_OPTIONS, {
    argv: [
      '--http-port=0',
      '--http-host=127.0.0.1',
      `--model-cache-dir=${cacheDir}`,
      ...(options.argv ?? []),
    ],
    env: {},
    command: 'test',
    summary: '',
  });
  const frontend = await createFrontend(config, { runtime, telemetry });
  await frontend.start();
  while (!frontend.models.ready) await new Promise((resolve) => setImmediate(resolve));
  return {
    frontend,
    url: frontend.url,
    planes,
    telemetry,
    logs,
    workers,
    addWorker,
    post: (path, body, init = {}) =>
      fetch(frontend.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...init,
      }),
    [Symbol.asyncDispose]: async () => {
      await frontend.close();
      for (const worker of workers) await worker.close();
      await runtime.close();
      await planes.close();
      await telemetry.close();
      await rm(cacheDir, { recursive: true, force: true });
    },
  };
}

async function startWorker(
  planes: Planes,
  options: TestFrontendOptions,
  cacheDir: string,
): Promise<TestWorker> {
  const telemetry = createTelemetry({ service: 'worker', logDestination: { write: () => true } });
  const runtime = await DistributedRuntime.connect({ ...planes, logger: telemetry.logger });
  const script = options.script ?? sayScript('Hello');
  const served = await startGenerate(runtime, script);
  const path = { namespace: 'dynamo', component: 'backend', endpoint: 'generate' };
  const { instanceId } = runtime;
  const publish = async (model: string) => {
    const card = await cardOf({ ...options, model }, cacheDir);
    const record = ModelRecord.fromPartial({ type: 'Model', ...path, instanceId, card });
    return planes.discovery.register({
      key: modelCardKey(path, instanceId, card.slug),
      value: Buffer.from(JSON.stringify(ModelRecord.toJSON(record))),
    });
  };
  const models = [options.model ?? 'mock', ...(options.otherModels ?? [])];
  const registrations = await Promise.all(models.map(publish));
  const close = async (): Promise<void> => {
    for (const registration of registrations) await registration.close();
    await served.close();
    await runtime.close();
  };
  return { instanceId, close, [Symbol.asyncDispose]: close };
}

/** Serves a script at the usual endpoint. */
export async function startGenerate(
  runtime: DistributedRuntime,
  script: Script,
): Promise<ServedEndpoint> {
  return runtime.endpoint('dynamo.backend.generate').serveRaw((incoming, sink) => {
    void script(GenerateRequest.decode(incoming.payload), sink, incoming.context);
  });
}

async function cardOf(
  options: TestFrontendOptions,
  cacheDir: string,
): Promise<ModelDeploymentCard> {
  const { card } = await buildModelCard({
    source: options.modelInput === 'text' ? { kind: 'none' } : { kind: 'builtin' },
    name: options.model ?? 'mock',
    aliases: options.aliases ?? [],
    contextLength: options.contextLength ?? 131_072,
    kvCacheBlockSize: options.blockSize ?? 16,
    cache: new CardFileCache({ directory: cacheDir }),
  });
  return card;
}

/** The JSON of all `data:` events of a stream. */
export function eventsOf(text: string): unknown[] {
  return text
    .split('\n\n')
    .filter((event) => event.startsWith('data: ') && event !== 'data: [DONE]')
    .map((event) => JSON.parse(event.slice('data: '.length)) as unknown);
}
