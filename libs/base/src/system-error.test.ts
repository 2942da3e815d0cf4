import { readFileSync, writeFileSync } from 'node:fs';

import { expect, it } from 'vitest';

import { failureReason, isSystemError, systemErrorText } from './system-error.ts';

function caught(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

it('says what to do about a full disk', () => {
  const error = caught(() => writeFileSync('/dev/full', 'text'));
  if (!isSystemError(error)) throw new Error('no system error');
  expect(systemErrorText(error)).toBe(
    'ENOSPC: no space left on device, write; free space on that disk, or name another place',
  );
});

it('says of a port what a port needs', () => {
  const error = Object.assign(new Error('listen EACCES: permission denied 0.0.0.0:80'), {
    code: 'EACCES',
    syscall: 'listen',
  });
  expect(failureReason(error)).toContain('; choose a port from 1024 on');
});

it('only says what happened where nothing can be advised', () => {
  const error = caught(() => readFileSync('/no/such/file'));
  if (!isSystemError(error)) throw new Error('no system error');
  expect(systemErrorText(error)).toBe(error.message);
});

it('gives a reason for whatever was thrown', () => {
  expect(failureReason(caught(() => writeFileSync('/dev/full', 'text')))).toContain('free space');
  expect(failureReason(new Error('a defect'))).toBe('a defect');
  expect(failureReason('nothing')).toBe('nothing');
});

it.each([new Error('a defect'), Object.assign(new Error('no call'), { code: 'ENOSPC' }), 'ENOSPC'])(
  'leaves other errors alone (%s)',
  (error) => expect(isSystemError(error)).toBe(false),
);
