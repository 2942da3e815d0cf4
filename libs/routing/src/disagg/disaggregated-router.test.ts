import { createLocalPlanes } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it, vi } from 'vitest';

import { DisaggregatedRouter } from './disaggregated-router.ts';

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

describe('DisaggregatedRouter', () => {
  const plain = new DisaggregatedRouter();
  const short = new DisaggregatedRouter({ maxLocalPrefillLength: 10 });

  it.each([
    // prompt, hit rate, queue; remote when the uncached rest is over the limit and fewer than 2 wait
    [plain, 1000, 0, 0, false],
    [plain, 1001, 0, 0, true],
    [plain, 2000, 0.5, 0, false],
    [plain, 2002, 0.5, 0, true],
    [plain, 2001, 0.5, 0, false], // int(1000.5) = 1000
    [plain, 5000, 1, 0, false],
    [plain, 1001, 0, 1, true],
    [plain, 1001, 0, 2, false],
    [short, 11, 0, 0, true],
    [short, 10, 0, 0, false],
    [plain, 0, 0, 0, false],
  ])('%#: decides by length, cached share and queue', (...row) => {
    const [router, length, rate, queue, remote] = row;
    expect(router.prefillRemote(length, rate, queue)).toBe(remote);
  });

  it.each([
    [2000, 999, true],
    [2000, 1000, false],
    [1000, 0, false],
  ])('of %i tokens with %i cached: remote %s', (length, hit, remote) => {
    expect(plain.prefillRemoteByLength(length, hit)).toBe(remote);
  });

  it('prefills everything remotely when it is not to decide', () => {
    const always = new DisaggregatedRouter({ conditionalDisagg: false });
    expect(always.prefillRemote(1, 1, 99)).toBe(true);
  });

  it.each([
    () => plain.prefillRemote(10, 1.1),
    () => plain.prefillRemote(10, Number.NaN),
    () => plain.prefillRemote(-1, 0),
    () => plain.prefillRemoteByLength(10, 11),
  ])('%#: refuses what cannot be', (call) => {
    expect(call).toThrow(expect.objectContaining({ code: 'request.invalid' }));
  });

  it('refuses thresholds that are none', () => {
    expect(() => new DisaggregatedRouter({ maxLocalPrefillLength: -1 })).toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    );
  });

  it('follows the thresholds of its model and namespace, the model first', async () => {
    await using planes = createLocalPlanes();
    const { discovery } = planes;
    const key = 'public/components/disagg_router/models/chat/org/name';
    const ofModel = await discovery.register({
      key,
      value: json({ max_local_prefill_length: 50 }),
    });
    await discovery.register({ key: `${key}-other`, value: json({ max_local_prefill_length: 1 }) });
    await using router = await DisaggregatedRouter.connect({
      discovery,
      model: 'org/name',
      namespace: 'prod',
      logger: nullLogger,
    });
    expect(router.maxLocalPrefillLength).toBe(50);

    await discovery.register({ key: '/prod/max_local_prefill_length', value: json(70) });
    await discovery.register({ key: '/prod/max_prefill_queue_size', value: json(9) });
    await vi.waitFor(() => expect(router.maxPrefillQueueSize).toBe(9));
    expect(router.maxLocalPrefillLength).toBe(50);

    await ofModel.close();
    await vi.waitFor(() => expect(router.maxLocalPrefillLength).toBe(70));

    await discovery.register({ key, value: json({ max_local_prefill_length: 'many' }) });
    await discovery.register({ key: '/prod/max_prefill_queue_size', value: json(3) });
    await vi.waitFor(() => expect(router.maxPrefillQueueSize).toBe(3));
    expect(router.maxLocalPrefillLength).toBe(70);
    expect(router.prefillRemote(71, 0, 2)).toBe(true);
  });
});
