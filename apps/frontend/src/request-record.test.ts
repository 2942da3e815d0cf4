import { asInstanceId } from '@dynamo-ts/base';
import { loadConfig } from '@dynamo-ts/config';
import type { Placement } from '@dynamo-ts/routing';
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

interface SetUp {
  readonly record: RequestRecord;
  readonly page: () => Promise<string>;
  /** Requests in each stage. */
  readonly stages: () => Promise<number[]>;
}

function setUp(): SetUp {
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
    return ['preprocess', 'route', 'dispatch'].map((stage) =>
      Number(new RegExp(`stage_requests\\{stage="${stage}",[^}]*\\} (\\d)`).exec(page)?.[1] ?? 0),
    );
  };
  return { record, page: () => registry.text(), stages };
}

const placed = (decisionId?: string): Placement => ({ ...PLACEMENT, decisionId });

it('is in one stage at a time until its first worker answers', async () => {
  const { record, stages } = setUp();
  record.start('m', 'unary');
  expect(await stages()).toEqual([1, 0, 0]);
  record.prepared([]);
  expect(await stages()).toEqual([0, 1, 0]);
  record.placed(PLACEMENT, 0);
  expect(await stages()).toEqual([0, 0, 1]);
  record.placed(PLACEMENT, 1);
  record.placed(PLACEMENT, 0);
  expect(await stages()).toEqual([0, 0, 1]);
  record.dispatched(PLACEMENT, 0);
  record.placed(PLACEMENT, 2);
  record.dispatched(PLACEMENT, 1);
  expect(await stages()).toEqual([0, 0, 0]);
  record.finish({});
  expect(await stages()).toEqual([0, 0, 0]);
});

it('measures each choice in each stage once', async () => {
  const { record, page } = setUp();
  record.start('m', 'unary');
  record.prepared([]);
  for (const choice of [0, 1, 1]) record.placed(PLACEMENT, choice);
  for (const choice of [0, 1]) record.dispatched(PLACEMENT, choice);
  for (const [stage, count] of [
    ['preprocess', 1],
    ['route', 2],
    ['dispatch', 2],
  ])
    expect(await page()).toContain(`stage_duration_seconds_count{stage="${stage}"} ${count}`);
});

it('names the decision of every choice, of the worker that has it now', () => {
  const { record } = setUp();
  record.start('m', 'unary');
  record.prepared([]);
  expect(record.decisionId).toBeUndefined();
  record.placed(placed('a-2'), 1);
  expect(record.decisionId).toBe('a-2');
  record.placed(placed('a-1'), 0);
  record.placed(placed(), 2);
  expect(record.decisionId).toBe('a-1, a-2');
  record.placed(placed('a-9'), 0);
  expect(record.decisionId).toBe('a-9, a-2');
});

it.each(['start', 'prepared', 'placed'] as const)(
  'leaves its stage when it fails after %s',
  async (last) => {
    const { record, stages } = setUp();
    record.start('m', 'unary');
    if (last !== 'start') record.prepared([]);
    if (last === 'placed') record.placed(PLACEMENT, 0);
    record.finish({ error: new Error('gone') });
    record.finish({ error: new Error('gone') });
    expect(await stages()).toEqual([0, 0, 0]);
  },
);
