import { createInstanceId } from '@dynamo-ts/base';
import { expect, it, vi } from 'vitest';

import { ENDPOINT, bytes, patient, readAll, text } from './plane-bed.ts';
import type { PlaneBed } from './plane-bed.ts';

/** Processes that die and come back. */
export function describeFaults(bed: PlaneBed): void {
  it('a killed server fails open answers as disconnected and kills its requests', async () => {
    const target = await bed.serve((_request, sink) => {
      sink.write(bytes('one'));
    });
    if (bed.pair.sever === undefined) return;
    const response = await bed.open(target);
    await response.nextBatch();
    const next = response.nextBatch();
    await Promise.all([
      bed.pair.sever(),
      expect(next).rejects.toMatchObject({ code: 'transport.disconnected', retryable: true }),
    ]);
    await expect(bed.open(target)).rejects.toMatchObject({ code: 'transport.cannot_connect' });
  }, 20_000);

  it('a client that goes away kills its requests on the server', async () => {
    let reason: unknown;
    const target = await bed.serve((request, sink) => {
      sink.write(bytes('one'));
      request.context.killed.addEventListener('abort', () => {
        reason = request.context.killed.reason;
      });
    });
    if (bed.pair.client === bed.pair.server) return;
    await (await bed.open(target)).nextBatch();
    await bed.pair.client.close();
    await vi.waitFor(() => {
      expect(reason).toMatchObject({ reason: 'client-gone' });
    }, patient);
  }, 20_000);

  it('a server that restarts at the same address is reachable again, and rejects the old instance id', async () => {
    const target = await bed.serve((_request, sink) => {
      sink.end();
    });
    if (bed.pair.sever === undefined || bed.pair.restart === undefined) return;
    await readAll(await bed.open(target));
    await bed.pair.sever();
    await expect(bed.open(target)).rejects.toMatchObject({ code: 'transport.cannot_connect' });
    const server = await bed.pair.restart();
    const instanceId = createInstanceId();
    const restarted = await server.serve({ endpoint: ENDPOINT, instanceId }, (_request, sink) => {
      sink.write(bytes('again'));
      sink.end();
    });
    const fresh = { endpoint: ENDPOINT, instanceId, transport: restarted.transport };
    await bed.client.reachable(fresh, { signal: AbortSignal.timeout(10_000) });
    expect((await readAll(await bed.open(fresh))).map(text)).toEqual(['again']);
    await expect(bed.open(target)).rejects.toMatchObject({ code: 'transport.cannot_connect' });
  }, 20_000);
}
