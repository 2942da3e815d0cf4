import { DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it } from 'vitest';

import { EngineType, makeEngine } from './make-engine.ts';
import type { EntrypointArgs } from './make-engine.ts';
import { runInput } from './run-input.ts';

type Planes = ReturnType<typeof createLocalPlanes>;

interface RunningInput extends AsyncDisposable {
  readonly url: string | undefined;
}

const LOCAL: Omit<EntrypointArgs, 'engineType'> = {
  httpHost: '127.0.0.1',
  httpPort: 0,
  worker: { gracePeriodMs: 0 },
};

async function start(
  planes: Planes,
  input: string,
  args: Pick<EntrypointArgs, 'engineType' | 'modelName'>,
): Promise<RunningInput> {
  const runtime = await DistributedRuntime.connect({ ...planes, logger: nullLogger });
  const stop = new AbortController();
  const ready = Promise.withResolvers<{ readonly url: string | undefined }>();
  const running = runInput({
    runtime,
    input,
    engine: makeEngine({ ...LOCAL, ...args }),
    signal: stop.signal,
    onReady: ready.resolve,
  });
  running.catch(ready.reject);
  const { url } = await ready.promise;
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
      await runtime.close();
    },
  };
}

async function complete(url = '', model = ''): Promise<unknown> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, prompt: 'hello', max_tokens: 5 }),
  });
  return response.json();
}

describe('runInput', { timeout: 30_000 }, () => {
  it.each([
    { engineType: EngineType.Echo, text: 'hello' },
    { engineType: EngineType.Mocker, text: expect.any(String) as string },
  ])('serves $engineType over HTTP', async ({ engineType, text }) => {
    await using planes = createLocalPlanes();
    await using http = await start(planes, 'http', { engineType, modelName: 'm' });
    await expect
      .poll(() => complete(http.url, 'm'))
      .toMatchObject({
        choices: [{ text, finish_reason: 'length' }],
        usage: { completion_tokens: 5 },
      });
  });

  it('finds workers that another runtime serves at an endpoint', async () => {
    await using planes = createLocalPlanes();
    await using _worker = await start(planes, 'dyn://demo.echoes.generate', {
      engineType: EngineType.Echo,
      modelName: 'm',
    });
    await using http = await start(planes, 'http', { engineType: EngineType.Dynamic });
    await expect
      .poll(() => complete(http.url, 'm'))
      .toMatchObject({ choices: [{ text: 'hello' }] });
    const health = await (await fetch(`${http.url ?? ''}/health`)).text();
    expect(health).toContain('demo.echoes.generate');
  });

  it('says what it cannot do', async () => {
    await using planes = createLocalPlanes();
    await expect(start(planes, 'grpc', { engineType: 'echo' })).rejects.toMatchObject({
      code: 'runtime.not_implemented',
      message: expect.stringContaining('batch:FILE.jsonl') as string,
    });
    await expect(start(planes, 'batch:', { engineType: 'echo' })).rejects.toMatchObject({
      code: 'request.invalid',
    });
    await expect(start(planes, 'none', { engineType: 'dynamic' })).rejects.toMatchObject({
      code: 'request.invalid',
    });
    expect(() => makeEngine({ engineType: 'dynamic', modelPath: '/x' })).toThrow(
      expect.objectContaining({ code: 'request.invalid' }),
    );
  });
});
