import { AbortReasonError, raceAbort } from '@dynamo-ts/base';
import { DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it, vi } from 'vitest';

import { RoutedEndpoints } from './routed-endpoints.ts';
import { openTestRouter } from './testing-router.ts';

const ENDPOINT = 'test.backend.generate';

/** Endpoints whose routers open when a call says a block size. */
async function setUp() {
  const planes = createLocalPlanes();
  const runtime = await DistributedRuntime.connect({ ...planes, logger: nullLogger });
  const open = openTestRouter(runtime);
  const given: AbortSignal[] = [];
  const endpoints = new RoutedEndpoints({
    open: async (path, options) => {
      given.push(options.signal);
      await raceAbort(options.blockSize, options.signal);
      return open(path, options);
    },
  });
  return {
    endpoints,
    given,
    async [Symbol.asyncDispose]() {
      await endpoints.close();
      await runtime.close();
      await planes.close();
    },
  };
}

function leaving() {
  const caller = new AbortController();
  return { signal: caller.signal, leave: () => caller.abort(new AbortReasonError('client-gone')) };
}

describe('RoutedEndpoints', () => {
  it('goes on waiting for a block size while anybody does', async () => {
    await using test = await setUp();
    const { signal, leave } = leaving();
    const first = test.endpoints.open(ENDPOINT, { signal });
    const later = leaving();
    const second = test.endpoints.open(ENDPOINT, { signal: later.signal });
    leave();
    await expect(first).rejects.toMatchObject({ code: 'request.cancelled' });
    const third = test.endpoints.open(ENDPOINT, { blockSize: 16 });
    expect(await second).toBe(await third);
    expect(test.given.map((each) => each.aborted)).toEqual([false]);
  });

  it('lets go of an endpoint that nobody waits for any more', async () => {
    await using test = await setUp();
    for (let count = 0; count < 100; count += 1) {
      const { signal, leave } = leaving();
      const waiting = test.endpoints.open(`${ENDPOINT}-${count}`, { signal });
      leave();
      await expect(waiting).rejects.toMatchObject({ code: 'request.cancelled' });
    }
    await vi.waitFor(() => expect(test.given.every((each) => each.aborted)).toBe(true));
    expect(await test.endpoints.open(ENDPOINT, { blockSize: 16 })).toBe(
      test.endpoints.tryGet(ENDPOINT),
    );
  });
});
