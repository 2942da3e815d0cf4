/** A service for the tests of `runService`. */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { DynamoError, isErrorCode } from '@dynamo-ts/base';
import { defineOptions, option } from './option.ts';
import { runService } from './run-service.ts';

const OPTIONS = defineOptions({
  port: option.integer({ flag: 'port', default: 0, help: 'Port of the health answer.' }),
  closeDelayMs: option.duration({
    flag: 'close-delay',
    unit: 'ms',
    default: 0,
    help: 'Slow stop.',
  }),
  stopTimeoutMs: option.duration({
    flag: 'stop-timeout',
    unit: 'ms',
    default: 86_400_000,
    help: 'Longest stop.',
  }),
  startsForEver: option.boolean({
    flag: 'starts-for-ever',
    help: 'Start that waits until closed.',
  }),
  fail: option.string({ flag: 'fail', help: 'Code of the error that the start ends with.' }),
});

let timer: NodeJS.Timeout | undefined;
let interruptStart: (error: Error) => void = () => undefined;

await runService({
  command: 'test service',
  summary: 'Does nothing.',
  options: OPTIONS,
  argv: process.argv.slice(2),
  env: process.env,
  health: ({ port }) => ({ port, path: '/health' }),
  stopTimeoutMs: ({ stopTimeoutMs }) => stopTimeoutMs,
  create: ({ fail, closeDelayMs, startsForEver }) => ({
    start: async () => {
      if (fail !== undefined && isErrorCode(fail)) throw new DynamoError(fail, 'cannot start');
      if (fail === 'full-disk') writeFileSync('/dev/full', 'text');
      if (fail !== undefined) throw new Error('a defect');
      timer = setInterval(() => undefined, 1000);
      process.stdout.write('started\n');
      if (startsForEver)
        await new Promise<never>((_resolve, reject) => {
          interruptStart = reject;
        });
    },
    close: async () => {
      interruptStart(new DynamoError('runtime.closed', 'interrupted'));
      await sleep(closeDelayMs);
      clearInterval(timer);
      process.stdout.write('closed\n');
    },
  }),
});
