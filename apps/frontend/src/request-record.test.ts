import { asInstanceId } from '@dynamo-ts/base';
import { loadConfig } from '@dynamo-ts/config';
import { MetricsRegistry, Tracer, nullLogger } from '@dynamo-ts/telemetry';
import { expect, it } from 'vitest';

import { bucketsOf } from './bucket-options.ts';
import { FRONTEND_OPTIONS } from './config.ts';
import { FrontendMetrics } from './frontend-metrics.ts';
import { RequestRecord } from './request-record.ts';

const PLACEMENT = {
  instanceId: asInstanceId(1n),
  overlapBlocks: 0,
  cachedTokens: 0,
  queuedMs: 0,
  reason: 'test',
};

function setUp(): { record: RequestRecord; stages: () => Promise<number[]> } {
  const registry = new MetricsRegistry();
  const source = { argv: [], env: {}, command: 'test', summary: '' };
  const { config } = loadConfig(FRONTEND_OPTIONS, source);
  const record = new RequestRecord({
    metrics: new FrontendMetrics(registry, bucketsOf(config)),
    logger: nullLogger,
    span: new Tracer().startSpan('test'),
    endpoint: 'completions',
    receivedMs: performance.now(),
    ids: { requestId: 'a', clientRequestId: 'b' },
  });
  const stages = async (): Promise<number[]> => {
    const page = await registry.text();
    return ['preprocess', 'dispatch'].map((stage) =>
      Number(new RegExp(`stage_requests\\{stage="${stage}",[^}]*\\} (\\d)`).exec(page)?.[1] ?? 0),
    );
  };
  return { record, stages };
}

it('is in one stage at a time until its first worker answers', async () => {
  const { record, stages } = setUp();
  record.start('m', 'unary');
  expect(await stages()).toEqual([1, 0]);
  record.prepared([]);
  expect(await stages()).toEqual([0, 1]);
  record.dispatched(PLACEMENT);
  record.dispatched(PLACEMENT);
  expect(await stages()).toEqual([0, 0]);
  record.finish({});
  expect(await stages()).toEqual([0, 0]);
});

it.each(['start', 'prepared'] as const)('leaves its stage when it fails after %s', async (last) => {
  const { record, stages } = setUp();
  record.start('m', 'unary');
  if (last === 'prepared') record.prepared([]);
  record.finish({ error: new Error('gone') });
  record.finish({ error: new Error('gone') });
  expect(await stages()).toEqual([0, 0]);
});
