/** Sleep and wake-up of a server that has vLLM's routes for them. */
import { nullLogger } from '@dynamo-ts/telemetry';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { OpenAiEngine } from '../src/engines/openai/openai.ts';
import { ScriptedEngine } from './scripted-engine.ts';
import type { Script, ScriptedRequest } from './scripted-engine.ts';

const MODELS = { object: 'list', data: [{ id: 'org/tiny', max_model_len: 4096 }] };

describe('the sleep mode of vLLM', () => {
  const closers: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  async function start(script: Script): Promise<OpenAiEngine> {
    const server = await ScriptedEngine.start({ 'GET /v1/models': MODELS, ...script });
    closers.push(() => server.close());
    const engine = new OpenAiEngine({
      source: { kind: 'attach', url: `${server.url}/v1` },
      input: 'text',
      modelPath: undefined,
      blockSize: 64,
      dataParallelSize: 1,
      eventAddresses: [],
      startupTimeoutMs: 5000,
      logger: nullLogger,
    });
    await engine.start({ host: { loadChanged: vi.fn(), kvEvents: vi.fn(), crashed: vi.fn() } });
    closers.push(() => engine.close());
    return engine;
  }

  it('is told by its routes, and woken up when it was left asleep', async () => {
    const told: string[] = [];
    const tell =
      (what: string) =>
      ({ response }: ScriptedRequest) => {
        told.push(what);
        response.end();
      };
    const { sleepMode } = await start({
      'GET /is_sleeping': { is_sleeping: true },
      'POST /sleep?level=2': tell('sleep 2'),
      'POST /wake_up': tell('wake'),
      'POST /wake_up?tags=weights': tell('wake weights'),
    });
    expect(told).toEqual(['wake']);
    await sleepMode.check({});
    await sleepMode.sleep(2, {});
    await sleepMode.wake(['weights'], {});
    await sleepMode.wake(['weights', 'kv_cache'], {});
    expect(told).toEqual(['wake', 'sleep 2', 'wake weights', 'wake']);
    await expect(sleepMode.sleep(3, {})).rejects.toMatchObject({ code: 'backend.error' });
  });

  it('is left alone when it is awake', async () => {
    const { sleepMode } = await start({ 'GET /is_sleeping': { is_sleeping: false } });
    await expect(sleepMode.check({})).resolves.toBeUndefined();
  });

  it('says how vLLM gets it when it has none', async () => {
    const { sleepMode } = await start({});
    const checked = sleepMode.check({});
    await expect(checked).rejects.toMatchObject({ code: 'runtime.not_implemented' });
    await expect(checked).rejects.toThrow(/--enable-sleep-mode/);
  });

  it('cannot be used while the engine is down', async () => {
    const engine = await start({ 'GET /is_sleeping': { is_sleeping: false } });
    await engine.close();
    await expect(engine.sleepMode.check({})).rejects.toMatchObject({
      code: 'backend.engine_shutdown',
    });
  });
});
