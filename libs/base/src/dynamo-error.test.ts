import { describe, expect, it } from 'vitest';

import { DynamoError, hasCode, toDynamoError } from './dynamo-error.ts';
import { ERROR_CODES, isErrorCode } from './error-codes.ts';

describe('DynamoError', () => {
  it('takes what it means from the registry', () => {
    const error = new DynamoError('transport.disconnected', 'worker 7 left', { cause: 'socket' });
    expect([error.retryable, error.info.http, error.cause]).toEqual([true, 503, 'socket']);
    expect(hasCode(error, 'transport.disconnected')).toBe(true);
    expect(hasCode(error, 'request.invalid')).toBe(false);
  });

  it('wraps anything thrown and keeps the registered code of a native error', () => {
    expect(toDynamoError('text').code).toBe('runtime.internal');
    const native = Object.assign(new Error('bad template'), { code: 'request.invalid' });
    expect(toDynamoError(native)).toMatchObject({ code: 'request.invalid', cause: native });
    expect(toDynamoError(Object.assign(new Error('no'), { code: 'ECONNRESET' })).code).toBe(
      'runtime.internal',
    );
  });
});

describe('ERROR_CODES', () => {
  it('are written like the reasons of the reference and only failures of an instance inhibit it', () => {
    for (const [code, info] of Object.entries(ERROR_CODES)) {
      expect(code).toMatch(/^[a-z]+\.[a-z_]+$/);
      expect(info.meaning.length).toBeGreaterThan(20);
      if (info.inhibits) expect(info.retryable).toBe(true);
      if (info.http < 500) expect(info.retryable).toBe(false);
    }
    expect(isErrorCode('toString')).toBe(false);
  });
});
