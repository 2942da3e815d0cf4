/** Models with blocks of different sizes at one endpoint, asked for on the request plane. */
import { computeBlockHashForSeq } from '@dynamo-ts/kv';
import { LocalRouter, RemoteRouter } from '@dynamo-ts/routing';
import { Context, decodePayload, encodePayload } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { describe, expect, it, vi } from 'vitest';

import { tokens } from './testing-engine.ts';
import { ENDPOINT, Fleet } from './testing-fleet.ts';
import { MODELS, worker } from './testing-models.ts';

const token_ids = tokens(256);

/** A caller of the reference's endpoints. */
async function callerOf(fleet: Fleet) {
  const runtime = await fleet.runtime();
  return async (name: string, body: unknown): Promise<unknown> => {
    const client = await runtime.endpoint(`dynamo.router.${name}`).client();
    await client.waitForInstances();
    const [id = 0n as never] = client.instanceIds();
    const response = await client.openRaw(id, encodePayload(body), new Context());
    const items: unknown[] = [];
    for await (const item of response) items.push(decodePayload(item));
    await client.close();
    return items;
  };
}

describe('two models of one endpoint on the request plane', () => {
  it("are told apart in the reference's calls", async () => {
    await using fleet = await Fleet.start();
    const small = await worker(fleet, 'small');
    const large = await worker(fleet, 'large');
    await fleet.routerOfAnySize();
    const ask = await callerOf(fleet);
    for (const [model, id] of [
      ['small', small],
      ['large', large],
    ] as const) {
      const prompt = { model, token_ids };
      const blocks = 256 / MODELS[model];
      const generated = await vi.waitFor(() => ask('generate', prompt));
      expect(generated).toMatchObject([{ data: { text: model } }]);
      expect(await ask('best_worker_id', prompt)).toEqual([{ data: id }]);
      const scores = { block_size: MODELS[model], num_blocks: blocks };
      const workers = [{ worker_id: id, device_blocks: blocks }];
      expect(await ask('get_overlap_scores', prompt)).toMatchObject([
        { data: { ...scores, workers } },
      ]);
      const request = { ...prompt, method: 'new', tokens: token_ids, request_id: `r ${model}` };
      expect(await ask('generate', request)).toMatchObject([
        { data: { method: 'new', worker_id: id, overlap_blocks: blocks } },
      ]);
      const asked = { method: 'potential_loads', tokens: token_ids, block_size: MODELS[model] };
      expect(await ask('generate', asked)).toMatchObject([
        { data: { loads: [{ worker_id: id, active_requests: 1 }] } },
      ]);
      const query = { ...prompt, annotations: ['query_instance_id:decode'] };
      expect(await ask('generate', query)).toMatchObject([
        {
          data: {
            finish_reason: 'stop',
            disaggregated_params: { worker_id: { decode_worker_id: String(id) }, token_ids },
          },
        },
      ]);
    }
    await expect(ask('best_worker_id', { token_ids })).rejects.toMatchObject({
      code: 'request.invalid',
    });
    await expect(ask('best_worker_id', { token_ids, block_size: -1 })).rejects.toMatchObject({
      code: 'request.invalid',
    });
  });

  it('have sessions of their own for frontends, and share one for those that say no model', async () => {
    await using fleet = await Fleet.start();
    const ids = [await worker(fleet, 'small', 'tiny'), await worker(fleet, 'small', 'tiny')];
    const [first = 0n, second = 0n] = ids;
    await fleet.routerOfAnySize('--router-session-affinity-ttl-secs', '600');
    const runtime = await fleet.runtime();
    const client = await runtime.endpoint(ENDPOINT).client();
    const frontend = (model?: string): Promise<RemoteRouter> =>
      RemoteRouter.connect({
        runtime,
        namespace: 'dynamo',
        instances: client,
        model,
        fallback: new LocalRouter({ instances: client, routerId: runtime.instanceId }),
        logger: nullLogger,
        metrics: new MetricsRegistry(),
      });
    await using small = await frontend('small');
    await using tiny = await frontend('tiny');
    await using older = await frontend();
    let last = 0;
    const run = async (router: RemoteRouter, not?: bigint): Promise<bigint> => {
      const bookingId = `r${(last += 1)}`;
      const placement = await router.route(
        {
          bookingId,
          blockHashes: computeBlockHashForSeq(Uint32Array.from(token_ids), 16),
          blockSize: 16,
          promptTokens: token_ids.length,
          excluded: new Set(client.instanceIds().filter((id) => id === not)),
          sessionId: 's',
        },
        new Context(),
      );
      expect(placement.reason).not.toContain('fallback');
      router.prefillDone(bookingId);
      router.free(bookingId, { kind: 'completed' });
      return placement.instanceId;
    };
    await vi.waitFor(() => run(older, second));
    expect(await run(small, second)).toBe(first);
    expect(await run(tiny, first)).toBe(second);
    for (let round = 0; round < 3; round += 1)
      expect([await run(small), await run(tiny), await run(older)]).toEqual([first, second, first]);
    await client.close();
  });
});
