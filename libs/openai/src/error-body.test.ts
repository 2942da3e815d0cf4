import { DynamoError, ERROR_CODES, PUBLIC_MESSAGE } from '@dynamo-ts/base';
import type { ErrorCode } from '@dynamo-ts/base';
import { describe, expect, it } from 'vitest';

import { toPublicError } from './error-body.ts';

const CODES = Object.keys(ERROR_CODES) as ErrorCode[];

describe('toPublicError', () => {
  it.each(CODES)('answers %s with the status of the registry and a complete body', (code) => {
    const { status, body } = toPublicError(new DynamoError(code, 'the text'));
    expect(status).toBe(ERROR_CODES[code].http);
    expect(body.error).toEqual(
      expect.objectContaining({
        message: expect.any(String) as unknown,
        type: expect.any(String) as unknown,
      }),
    );
    expect(body.error).toHaveProperty('param');
    expect(body.error).toHaveProperty('code');
  });

  it.each(CODES.filter((code) => ERROR_CODES[code].http >= 500 && ERROR_CODES[code].http !== 501))(
    'does not tell the text of %s',
    (code) => {
      const error = new DynamoError(code, 'secret at /etc/x', { details: { path: '/etc/x' } });
      expect(JSON.stringify(toPublicError(error).body)).not.toContain('/etc/x');
    },
  );

  it('tells why a demand of the request cannot be met, where the error says that it may', () => {
    const error = new DynamoError('backend.unavailable', 'instance 3039 is not registered', {
      details: PUBLIC_MESSAGE,
    });
    const { status, body, retryAfterSeconds } = toPublicError(error);
    expect({ status, retryAfterSeconds }).toEqual({ status: 503, retryAfterSeconds: 1 });
    expect(body.error.message).toBe('instance 3039 is not registered');
    expect(body.error.details).toBeUndefined();
  });

  it('gives both numbers of a context that is too long, under the code OpenAI uses', () => {
    const error = new DynamoError('request.context_length', 'too long', {
      details: { limit: 10, actual: 20 },
    });
    expect(toPublicError(error).body.error).toMatchObject({
      type: 'invalid_request_error',
      code: 'context_length_exceeded',
      details: { limit: 10, actual: 20 },
    });
  });

  it('asks to retry after 503 and overload, and lets the overload status be chosen', () => {
    expect(toPublicError(new DynamoError('backend.unavailable', 'x')).retryAfterSeconds).toBe(1);
    const overloaded = new DynamoError('capacity.pool_exhausted', 'x');
    expect(toPublicError(overloaded)).toMatchObject({ status: 529, retryAfterSeconds: 1 });
    expect(toPublicError(overloaded, { overloadStatus: 503 }).status).toBe(503);
    expect(
      toPublicError(new DynamoError('request.invalid', 'x')).retryAfterSeconds,
    ).toBeUndefined();
  });

  it("passes an engine's own 4xx on and nothing else of it", () => {
    const engine = (text: string) => toPublicError(new DynamoError('backend.error', text));
    expect(engine('{"message":"bad schema","code":422}')).toMatchObject({
      status: 422,
      body: { error: { message: 'bad schema' } },
    });
    for (const text of ['{"message":"boom","code":500}', '{broken', 'CUDA error']) {
      expect(engine(text)).toMatchObject({
        status: 500,
        body: { error: { message: 'Internal server error' } },
      });
    }
  });

  it('answers anything else with 500 and no text', () => {
    expect(toPublicError(new TypeError('x is not a function'))).toMatchObject({
      status: 500,
      body: { error: { message: 'Internal server error', code: 'runtime.internal' } },
    });
  });

  it('passes on when there may be room, and never less than a second', () => {
    const wait = (retry_after_seconds: number): unknown =>
      toPublicError(
        new DynamoError('capacity.queue_full', 'full', { details: { retry_after_seconds } }),
      ).retryAfterSeconds;
    expect([wait(2.5), wait(0)]).toEqual([3, 1]);
  });
});
