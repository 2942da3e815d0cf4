/** A frontend that has none of a model's files gets them from the worker that publishes the model. */
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { CardFileCache, CardFileServer, buildModelCard } from '@dynamo-ts/preprocess';
import {
  ModelFileChunk,
  ModelFileRequest,
  ModelRecord,
  modelCardKey,
  tokenIdsFromBytes,
} from '@dynamo-ts/protocol';
import { DistributedRuntime } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { expect, it, vi } from 'vitest';

import { sayScript, startGenerate, testFrontend } from './scripted-worker.ts';

/** A byte-level vocabulary of three letters. */
const TOKENIZER = {
  version: '1.0',
  added_tokens: [],
  pre_tokenizer: {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: true,
  },
  decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: { type: 'BPE', vocab: { a: 0, b: 1, c: 2, ab: 3 }, merges: ['a b'] },
};

it('fetches tokenizer and configuration from a worker, trying the next one when the first fails', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dynamo-files-'));
  const modelFolder = join(folder, 'model');
  await mkdir(modelFolder);
  await writeFile(join(modelFolder, 'tokenizer.json'), JSON.stringify(TOKENIZER));
  await writeFile(
    join(modelFolder, 'config.json'),
    JSON.stringify({ max_position_embeddings: 100, eos_token_id: 2 }),
  );
  await using test = await testFrontend();
  const built = await buildModelCard({
    source: { kind: 'folder', path: modelFolder },
    name: 'abc',
    kvCacheBlockSize: 16,
    cache: new CardFileCache({ directory: join(folder, 'worker-cache') }),
  });
  const files = new CardFileServer();
  files.publish(built.files);
  // As on another machine: the paths mean nothing here.
  const card = { ...built.card, files: built.card.files.map((file) => ({ ...file, path: '' })) };
  let asked = 0;
  for (const works of [false, true]) {
    const runtime = await DistributedRuntime.connect({ ...test.planes, logger: nullLogger });
    await runtime.endpoint('dynamo.backend.model_files').serveRaw(async (request, sink) => {
      asked += 1;
      if (!works) throw new Error('no disk');
      const chunk = await files.read(ModelFileRequest.decode(request.payload));
      sink.write(ModelFileChunk.encode(chunk).finish());
      sink.end();
    });
    await startGenerate(runtime, (request, sink, context) => {
      const ids = [...tokenIdsFromBytes(request.tokenIdsLe)].join();
      return ids === '3,0' ? sayScript('\u0000')(request, sink, context) : undefined;
    });
    const path = { namespace: 'dynamo', component: 'backend', endpoint: 'generate' };
    const { instanceId } = runtime;
    const record = ModelRecord.fromPartial({ type: 'Model', ...path, instanceId, card });
    await test.planes.discovery.register({
      key: modelCardKey(path, instanceId),
      value: Buffer.from(JSON.stringify(ModelRecord.toJSON(record))),
    });
  }
  await vi.waitFor(async () => {
    const response = await test.post('/v1/completions', { model: 'abc', prompt: 'aba' });
    expect(await response.json()).toMatchObject({
      choices: [{ text: 'a', finish_reason: 'stop' }],
      usage: { prompt_tokens: 2 },
    });
  });
  expect(asked).toBeGreaterThan(1);
  const long = await test.post('/v1/completions', { model: 'abc', prompt: 'c'.repeat(100) });
  expect(await long.json()).toMatchObject({ error: { details: { limit: 100, actual: 100 } } });
  await rm(folder, { recursive: true, force: true });
}, 20_000);
