import { describe, expect, it } from 'vitest';

import { requestIds, routingHeaders } from './request-headers.ts';

const ID = '0f8fad5b-d9cb-469f-a165-70867728950e';

describe('requestIds', () => {
  it('takes a UUID as the id on all hops and echoes the client its own', () => {
    expect(requestIds({ 'x-dynamo-request-id': ID, 'x-request-id': 'abc' })).toEqual({
      requestId: ID,
      clientRequestId: 'abc',
    });
  });

  it('makes a fresh id in place of one that is no UUID', () => {
    const { requestId, clientRequestId } = requestIds({ 'x-dynamo-request-id': 'nonsense' });
    expect(requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(clientRequestId).toBe(requestId);
  });

  it.each(['has space', 'x'.repeat(257), 'nul\u0000', ''])('does not echo %j', (value) => {
    const { requestId, clientRequestId } = requestIds({ 'x-request-id': value });
    expect(clientRequestId).toBe(requestId);
  });
});

describe('routingHeaders', () => {
  it('reads pins, ranks, priorities and the tenant', () => {
    expect(
      routingHeaders({
        'x-dynamo-worker-instance-id': '18446744073709551615',
        'x-prefill-instance-id': '7',
        'x-dp-rank': '3',
        'x-dynamo-prefill-dp-rank': '4294967295',
        'x-dynamo-request-priority': '-5',
        'x-dynamo-request-strict-priority': '2',
        'x-tenant-id': 'acme',
      }),
    ).toEqual({
      backendInstanceId: 0xffff_ffff_ffff_ffffn,
      prefillWorkerId: 7n,
      dpRank: 3,
      priority: -5,
      strictPriority: 2,
      cacheSalt: 'acme',
    });
    expect(routingHeaders({})).toEqual({});
  });

  it('reads the session, ours before that of a known agent, and the policy class', () => {
    expect(
      routingHeaders({
        'x-dynamo-session-id': 'ours',
        'x-claude-code-session-id': 'theirs',
        'x-dynamo-meta-policy-class': ' Bulk , other',
      }),
    ).toEqual({ sessionId: 'ours', policyClass: 'Bulk' });
    expect(routingHeaders({ 'session-id': 'codex' })).toEqual({ sessionId: 'codex' });
    expect(routingHeaders({ 'x-dynamo-meta-policy-class': ' ' })).toEqual({});
  });

  it.each([
    ['x-dynamo-worker-instance-id', '18446744073709551616'],
    ['x-worker-instance-id', 'abc'],
    ['x-dp-rank', '-1'],
    ['x-dynamo-request-priority', '1.5'],
    ['x-dynamo-request-priority', '2147483648'],
    ['x-dynamo-session-id', 'x'.repeat(257)],
  ])('refuses %s: %s', (name, value) => {
    expect(() => routingHeaders({ [name]: value })).toThrow(
      expect.objectContaining({ code: 'request.invalid', details: { param: name } }),
    );
  });
});
