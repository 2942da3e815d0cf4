import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { CardFileCache } from '@dynamo-ts/preprocess';
import {
  FinishReason,
  GenerateRequest,
  GenerateResponse,
  ModelFileChunk,
  ModelFileRequest,
  ModelRecord,
  modelCardKey,
  tokenIdsFromBytes,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import type { ModelDeploymentCard } from '@dynamo-ts/protocol';
import { Context, DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import type { Planes } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { engineHandler } from './engine-handler.ts';
import { registerModel, unregisterModel } from './register-model.ts';

const PATH = { namespace: 'test', component: 'own', endpoint: 'generate' };

describe('registerModel', () => {
  let folder = '';
  let planes: Planes;
  let runtime: DistributedRuntime;
  let cache: CardFileCache;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dynamo-models-'));
    cache = new CardFileCache({ directory: join(folder, 'cache') });
    planes = createLocalPlanes();
    runtime = await DistributedRuntime.connect({ ...planes, logger: nullLogger });
  });

  afterEach(async () => {
    await runtime.close();
    await planes.close();
    await rm(folder, { recursive: true, force: true });
  });

  const endpoint = () => runtime.endpoint('test.own.generate');

  async function published(): Promise<ModelDeploymentCard | undefined> {
    const [record] = await planes.discovery.list(modelCardKey(PATH, runtime.instanceId));
    return record && ModelRecord.fromJSON(JSON.parse(Buffer.from(record.value).toString())).card;
  }

  it('publishes a card of what it is told', async () => {
    await registerModel({
      runtime,
      endpoint: endpoint(),
      modelName: 'mine',
      aliases: ['also-mine'],
      modelType: ['completions'],
      workerType: 'decode',
      contextLength: 77,
      kvCacheBlockSize: 32,
      migrationLimit: 3,
      runtimeConfig: { totalKvBlocks: 9, toolCallParser: 'hermes' },
      userData: { team: 'a' },
      cache,
    });
    expect(await published()).toMatchObject({
      displayName: 'mine',
      aliases: ['also-mine'],
      modelType: ['completions'],
      modelInput: 'tokens',
      workerType: 'decode',
      contextLength: 77,
      kvCacheBlockSize: 32,
      migrationLimit: 3,
      runtimeConfig: { totalKvBlocks: 9, toolCallParser: 'hermes' },
      userDataJson: '{"team":"a"}',
    });
  });

  it('serves the files of two models of one component, named after their folders', async () => {
    for (const name of ['first', 'second']) {
      const path = join(folder, name);
      await mkdir(path);
      const vocab = { a: 0, [name]: 1 };
      const tokenizer = {
        version: '1.0',
        added_tokens: [],
        model: { type: 'BPE', vocab, merges: [] },
      };
      await writeFile(join(path, 'tokenizer.json'), JSON.stringify(tokenizer));
      const model = await registerModel({
        runtime,
        endpoint: runtime.endpoint(`test.own.${name}`),
        modelPath: path,
        cache,
      });
      expect(model.card.displayName).toBe(name);
      const [file] = model.card.files;
      const reader = await runtime.endpoint('test.own.model_files').client();
      const payload = ModelFileRequest.encode({ blake3: file?.blake3 ?? '', offset: 0n }).finish();
      const response = await reader.openRaw(runtime.instanceId, payload, new Context());
      const [chunk = new Uint8Array()] = (await response.nextBatch()) ?? [];
      expect(JSON.parse(Buffer.from(ModelFileChunk.decode(chunk).data).toString())).toEqual(
        tokenizer,
      );
      await reader.close();
    }
  });

  it('replaces the model of an endpoint, and takes it out when asked', async () => {
    const first = await registerModel({ runtime, endpoint: endpoint(), modelName: 'one', cache });
    await registerModel({ runtime, endpoint: endpoint(), modelName: 'two', cache });
    await first.unregister();
    expect((await published())?.displayName).toBe('two');
    await unregisterModel({ runtime, endpoint: endpoint() });
    expect(await published()).toBeUndefined();
    await expect(unregisterModel({ runtime, endpoint: endpoint() })).rejects.toMatchObject({
      code: 'request.not_found',
    });
  });

  it('leaves discovery with its runtime', async () => {
    await registerModel({
      runtime,
      endpoint: endpoint(),
      modelInput: 'text',
      modelName: 'x',
      cache,
    });
    expect((await published())?.modelInput).toBe('text');
    await runtime.close();
    expect(await published()).toBeUndefined();
  });

  it.each([
    [{}, 'request.invalid'],
    [{ modelPath: '/nowhere/model' }, 'model.invalid'],
    [{ modelPath: import.meta.filename }, 'model.invalid'],
  ])('refuses %j', async (options, code) => {
    const registered = registerModel({ runtime, endpoint: endpoint(), cache, ...options });
    await expect(registered).rejects.toMatchObject({ code });
  });

  it('runs an engine that is a generator over token ids', async () => {
    await endpoint().serveRaw(
      engineHandler(async function* ({ tokenIds, stopConditions }) {
        yield { tokenIds: tokenIds.toReversed() };
        yield { tokenIds: [7], finishReason: 'length', stopReason: `${stopConditions?.maxTokens}` };
      }),
    );
    const client = await endpoint().client();
    const request = GenerateRequest.create({
      tokenIdsLe: tokenIdsToBytes(Uint32Array.of(1, 2, 3)),
      stopConditions: { maxTokens: 4 },
    });
    const payload = GenerateRequest.encode(request).finish();
    const response = await client.openRaw(runtime.instanceId, payload, new Context());
    const answers: GenerateResponse[] = [];
    for (let batch = await response.nextBatch(); batch; batch = await response.nextBatch()) {
      answers.push(...batch.map((item) => GenerateResponse.decode(item)));
    }
    expect(answers.map(({ tokenIdsLe }) => [...tokenIdsFromBytes(tokenIdsLe)])).toEqual([
      [3, 2, 1],
      [7],
    ]);
    expect(answers[1]).toMatchObject({
      finishReason: FinishReason.FINISH_REASON_LENGTH,
      stopReason: '4',
    });
    await client.close();
  });
});
