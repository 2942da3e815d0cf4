import { DynamoError, asInstanceId } from '@dynamo-ts/base';
import { expect, it, vi } from 'vitest';

import { Context } from '../../context.ts';
import type { IncomingRequest, ResponseSink } from '../request-plane.ts';
import { bytes, patient, readAll, text } from './plane-bed.ts';
import type { PlaneBed } from './plane-bed.ts';

/** Stop, kill, refusal and failure. */
export function describeControl(bed: PlaneBed): void {
  it('stop reaches the handler, and what it still writes is delivered', async () => {
    const target = await bed.serve((request, sink) => {
      sink.write(bytes('one'));
      request.context.stopped.addEventListener('abort', () => {
        expect(request.context.isKilled()).toBe(false);
        sink.write(bytes('last'));
        sink.end();
      });
    });
    const context = new Context();
    const response = await bed.open(target, bytes(''), context);
    await response.nextBatch();
    context.stopGenerating();
    expect((await readAll(response)).map(text)).toEqual(['last']);
  });

  it('stop reaches the handler also when the payload is still on its way', async () => {
    const target = await bed.serve((request, sink) => {
      sink.write(bytes(request.context.isStopped() ? 'stopped' : 'asked to go on'));
      sink.end();
    });
    const context = new Context();
    const opening = bed.open(target, new Uint8Array(4 * 1024 * 1024), context);
    // In one process there is no way; then the request runs already.
    await Promise.resolve();
    context.stopGenerating();
    const answer = (await readAll(await opening)).map(text);
    if (bed.client.backend !== 'local') expect(answer).toEqual(['stopped']);
  });

  it('kill reaches the handler, ends the answer at once and frees the server', async () => {
    let killed = false;
    const target = await bed.serve((request, sink) => {
      sink.write(bytes('one'));
      request.context.killed.addEventListener('abort', () => {
        killed = true;
      });
    });
    const context = new Context();
    const response = await bed.open(target, bytes(''), context);
    await response.nextBatch();
    const next = response.nextBatch();
    context.kill();
    await expect(next).rejects.toMatchObject({ code: 'request.cancelled' });
    await vi.waitFor(() => {
      expect(killed).toBe(true);
    }, patient);
    await bed.served.idle();
  });

  it('stop and kill carry their reason and the time of the decision', async () => {
    const contexts: Context[] = [];
    const target = await bed.serve((request, sink) => {
      contexts.push(request.context);
      sink.write(bytes('one'));
    });
    const sinceUnixMs = Date.now() - 1500;
    const stopped = new Context();
    const first = await bed.open(target, bytes(''), stopped);
    stopped.stopGenerating('deadline', sinceUnixMs);
    const killed = new Context();
    await bed.open(target, bytes(''), killed);
    killed.kill('shutdown', sinceUnixMs);
    // The clock of a caller may be ahead.
    const ahead = new Context();
    await bed.open(target, bytes(''), ahead);
    ahead.kill('client-gone', Date.now() + 60_000);
    const dropped = await bed.open(target);
    dropped.cancel();
    await vi.waitFor(() => {
      expect(contexts.map((context) => context.isStopped())).toEqual([true, true, true, true]);
    }, patient);
    expect(
      contexts.map(({ stopped: { reason } }) => (reason as { reason: string }).reason),
    ).toEqual(['deadline', 'shutdown', 'client-gone', 'superseded']);
    expect(contexts[0]?.isKilled()).toBe(false);
    expect(contexts.slice(0, 2).map(({ stoppedUnixMs }) => stoppedUnixMs)).toEqual([
      sinceUnixMs,
      sinceUnixMs,
    ]);
    if (bed.client.backend !== 'local')
      expect(contexts[2]?.stoppedUnixMs).toBeLessThanOrEqual(Date.now());
    first.cancel();
  });

  it('a child of a request in one process gives up the request that it made to another', async () => {
    const inner: Context[] = [];
    const target = await bed.serve((request, sink) => {
      inner.push(request.context);
      sink.write(bytes('one'));
    });
    const parent = new Context();
    const child = parent.child();
    const response = await bed.open(target, bytes(''), child);
    await response.nextBatch();
    parent.kill('deadline', 1000);
    await vi.waitFor(() => {
      expect(inner[0]?.isKilled()).toBe(true);
    }, patient);
    expect(inner[0]?.killed.reason).toMatchObject({ reason: 'deadline' });
    expect(inner[0]?.id).toBe(parent.id);
    expect(inner[0]?.stoppedUnixMs).toBe(1000);
  });

  it('cancelling the answer kills the request on the server, also from a left loop', async () => {
    const kills: string[] = [];
    const target = await bed.serve((request, sink) => {
      sink.write(bytes('one'));
      request.context.killed.addEventListener('abort', () => {
        kills.push(text(request.payload));
      });
    });
    const first = await bed.open(target, bytes('cancel'));
    first.cancel();
    const second = await bed.open(target, bytes('loop'));
    for await (const _ of second) break;
    await vi.waitFor(() => {
      expect(kills.toSorted()).toEqual(['cancel', 'loop']);
    }, patient);
    await bed.served.idle();
  });

  it('a kill before open never reaches the handler', async () => {
    const handler = vi.fn((_request: IncomingRequest, sink: ResponseSink) => {
      sink.end();
    });
    const target = await bed.serve(handler);
    const context = new Context();
    context.kill('deadline');
    await expect(bed.open(target, bytes(''), context)).rejects.toMatchObject({
      code: 'request.deadline_exceeded',
    });
    expect(handler).not.toHaveBeenCalled();
  });

  it('a handler that fails at once rejects the request with its code, message and details', async () => {
    const target = await bed.serve(async () => {
      throw new DynamoError('capacity.worker_overloaded', 'at capacity', {
        details: { limit: 3 },
      });
    });
    await expect(bed.open(target)).rejects.toMatchObject({
      code: 'capacity.worker_overloaded',
      message: 'at capacity',
      details: { limit: 3 },
      retryable: true,
    });
  });

  it('a failure in mid-stream comes after the items before it', async () => {
    const target = await bed.serve((_request, sink) => {
      sink.write(bytes('one'));
      sink.fail(new DynamoError('backend.error', 'the engine failed'));
    });
    const response = await bed.open(target);
    const items: string[] = [];
    await expect(
      (async () => {
        for await (const item of response) items.push(text(item));
      })(),
    ).rejects.toMatchObject({ code: 'backend.error', message: 'the engine failed' });
    expect(items).toEqual(['one']);
  });

  it('tells once when an answer has settled, even when nobody reads it', async () => {
    const target = await bed.serve((request, sink) => {
      sink.write(bytes('unread'));
      if (text(request.payload) === 'fail') sink.fail(new DynamoError('backend.error', 'no'));
      else sink.end();
    });
    const settled: (string | undefined)[] = [];
    for (const payload of ['end', 'fail']) {
      await bed.client.open(target, {
        payload: bytes(payload),
        context: new Context(),
        onSettled: (error) => settled.push(error?.code),
      });
    }
    await vi.waitFor(() => {
      expect(settled).toEqual([undefined, 'backend.error']);
    }, patient);
  });

  it('refuse rejects new requests with a retryable error while old ones go on', async () => {
    const gate = Promise.withResolvers<undefined>();
    const target = await bed.serve(async (_request, sink) => {
      sink.write(bytes('one'));
      await gate.promise;
      sink.write(bytes('two'));
      sink.end();
    });
    const old = await bed.open(target);
    bed.served.refuse();
    await expect(bed.open(target)).rejects.toMatchObject({ retryable: true });
    let idle = false;
    const waiting = bed.served.idle().then(() => {
      idle = true;
    });
    expect(idle).toBe(false);
    gate.resolve(undefined);
    expect((await readAll(old)).map(text)).toEqual(['one', 'two']);
    await waiting;
  });

  it('closing an endpoint fails what still runs with an error that may migrate', async () => {
    const target = await bed.serve((_request, sink) => {
      sink.write(bytes('one'));
    });
    const response = await bed.open(target);
    await response.nextBatch();
    const next = response.nextBatch();
    await Promise.all([
      bed.served.close(),
      expect(next).rejects.toMatchObject({ code: 'backend.engine_shutdown', retryable: true }),
    ]);
  });

  it('an instance id that is not served there cannot be connected to', async () => {
    const target = await bed.serve((_request, sink) => {
      sink.end();
    });
    const other = { ...target, instanceId: asInstanceId(target.instanceId ^ 1n) };
    await expect(bed.open(other)).rejects.toMatchObject({ code: 'transport.cannot_connect' });
  });

  it('many requests at once keep their answers apart', async () => {
    const target = await bed.serve(async (request, sink) => {
      for (let index = 0; index < 20; index++) {
        sink.write(bytes(`${text(request.payload)}:${index}`));
        await new Promise((resolve) => setImmediate(resolve));
      }
      sink.end();
    });
    await Promise.all(
      Array.from({ length: 200 }, async (_, who) => {
        const items = await readAll(await bed.open(target, bytes(String(who))));
        expect(items.map(text)).toEqual(
          Array.from({ length: 20 }, (_unused, index) => `${who}:${index}`),
        );
      }),
    );
    await bed.served.idle();
  });
}
