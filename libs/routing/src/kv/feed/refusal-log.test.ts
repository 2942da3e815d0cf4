import { expect, it } from 'vitest';

import type { Clock } from '@dynamo-ts/base';
import type { FeedResult } from '@dynamo-ts/kv';
import { nullLogger } from '@dynamo-ts/telemetry';
import type { LogFields, Logger } from '@dynamo-ts/telemetry';

import { RefusalLog } from './refusal-log.ts';

const TAKEN: FeedResult = { recoveries: [], applied: 1, stale: 0, refused: 0 };

it('tells each reason once a minute, and how often it was not told', () => {
  const lines: LogFields[] = [];
  const logger: Logger = Object.assign(Object.create(nullLogger) as Logger, {
    warn: (_: string, fields: LogFields) => lines.push(fields),
  });
  let nowMs = 0;
  const clock: Clock = {
    now: () => 0,
    monotonicMs: () => nowMs,
    sleep: () => Promise.resolve(),
  };
  const log = new RefusalLog({ logger, clock });
  const refuse = (refusedFor: FeedResult['refusedFor']): void =>
    log.note({ ...TAKEN, applied: 0, refused: 1, refusedFor }, 7n);

  log.note(TAKEN, 7n);
  refuse('unknown_worker');
  expect(lines).toEqual([]);
  for (let time = 0; time < 3; time += 1) refuse('unreadable');
  refuse('block_size');
  nowMs = 60_000;
  refuse('unreadable');
  expect(lines.map(({ reason, not_logged }) => [reason, not_logged])).toEqual([
    ['unreadable', 0],
    ['block_size', 0],
    ['unreadable', 2],
  ]);
});
