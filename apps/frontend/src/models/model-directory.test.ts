import { describe, expect, it, vi } from 'vitest';

import { CardFileCache, ModelPreprocessor } from '@dynamo-ts/preprocess';
import { ModelRecord, modelCardKey } from '@dynamo-ts/protocol';
import type { KvRouterFactory } from '@dynamo-ts/routing';
import { DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import { createTelemetry, nullLogger } from '@dynamo-ts/telemetry';

import { ModelDirectory } from './model-directory.ts';

const path = { namespace: 'test', component: 'backend', endpoint: 'generate' };

/** A factory whose routers cannot be opened. */
const broken = {
  openRestored: () => Promise.reject(new Error('no router today')),
} as Partial<KvRouterFactory> as KvRouterFactory;

describe('ModelDirectory', () => {
  it('lets go of what it loaded when the model cannot be served', async () => {
    const planes = createLocalPlanes();
    const runtime = await DistributedRuntime.connect({ ...planes, logger: nullLogger });
    const record = ModelRecord.fromPartial({
      type: 'Model',
      ...path,
      instanceId: 1n,
      card: { displayName: 'test', modelInput: 'text', mdcSum: 'sum' },
    });
    const value = new TextEncoder().encode(JSON.stringify(ModelRecord.toJSON(record)));
    await runtime.discovery.register({ key: modelCardKey(path, 1n), value });
    const load = vi.spyOn(ModelPreprocessor, 'load');
    const close = vi.spyOn(ModelPreprocessor.prototype, 'close');
    await using manager = new ModelDirectory({
      runtime,
      telemetry: createTelemetry({ service: 'test', logFilter: 'error' }),
      routers: broken,
      routerPlacement: 'in-process',
      streamTimeoutMs: 0,
      cache: new CardFileCache(),
      namespace: undefined,
      lingerMs: 1000,
    });
    manager.start();
    await vi.waitFor(() => expect(load.mock.calls.length).toBeGreaterThan(1));
    expect(close.mock.calls.length).toBeGreaterThan(0);
    await manager.close();
    await runtime.close();
    await planes.close();
  });
});
