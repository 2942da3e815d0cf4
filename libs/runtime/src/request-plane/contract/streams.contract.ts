import { expect, it } from 'vitest';

import { Context } from '../../context.ts';
import type { IncomingRequest } from '../request-plane.ts';
import { ENDPOINT, bytes, readAll, text } from './plane-bed.ts';
import type { PlaneBed } from './plane-bed.ts';

/** What a stream of items must do. */
export function describeItems(bed: PlaneBed): void {
  it('carries payload, headers and request id to the handler and its items back in order', async () => {
    let seen: IncomingRequest | undefined;
    const target = await bed.serve((request, sink) => {
      seen = request;
      for (let index = 0; index < 1000; index++) sink.write(bytes(`item ${index}`));
      sink.end();
    });
    const context = new Context({ headers: { traceparent: 'abc', other: 'ü' } });
    const items = await readAll(await bed.open(target, bytes('hello'), context));
    expect(items.map(text)).toEqual(Array.from({ length: 1000 }, (_, index) => `item ${index}`));
    expect(text(seen!.payload)).toBe('hello');
    expect(seen!.context.id).toBe(context.id);
    expect(seen!.context.headers).toEqual({ traceparent: 'abc', other: 'ü' });
    expect(seen!.endpoint).toEqual(ENDPOINT);
  });

  it('gives what was written together as one batch', async () => {
    const target = await bed.serve((_request, sink) => {
      setImmediate(() => {
        for (let index = 0; index < 5; index++) sink.write(bytes(String(index)));
        sink.end();
      });
    });
    const response = await bed.open(target);
    expect((await response.nextBatch())?.map(text)).toEqual(['0', '1', '2', '3', '4']);
    expect(await response.nextBatch()).toBeUndefined();
  });

  it('delivers an item at once while the handler goes on', async () => {
    const gate = Promise.withResolvers<undefined>();
    const target = await bed.serve(async (_request, sink) => {
      sink.write(bytes('first'));
      await gate.promise;
      sink.end();
    });
    const response = await bed.open(target);
    expect((await response.nextBatch())?.map(text)).toEqual(['first']);
    gate.resolve(undefined);
    expect(await response.nextBatch()).toBeUndefined();
  });

  it('carries 16 MiB both ways', async () => {
    const target = await bed.serve((request, sink) => {
      sink.write(request.payload);
      sink.end();
    });
    const payload = new Uint8Array(16 * 1024 * 1024);
    for (let index = 0; index < payload.length; index += 997) payload[index] = index % 251;
    const [item, ...rest] = await readAll(await bed.open(target, payload));
    expect(rest).toEqual([]);
    expect(Buffer.compare(Buffer.from(item!), Buffer.from(payload))).toBe(0);
  });

  it('carries empty items', async () => {
    const target = await bed.serve((_request, sink) => {
      sink.write(new Uint8Array());
      sink.write(bytes('x'));
      sink.write(new Uint8Array());
      sink.end();
    });
    expect((await readAll(await bed.open(target))).map((item) => item.length)).toEqual([0, 1, 0]);
  });

  it('answers small requests while a large payload is on its way', async () => {
    const order: string[] = [];
    const target = await bed.serve((request, sink) => {
      order.push(request.payload.length > 1000 ? 'large' : 'small');
      sink.end();
    });
    await readAll(await bed.open(target, bytes('warm up')));
    order.length = 0;
    const large = bed.open(target, new Uint8Array(32 * 1024 * 1024));
    const small = bed.open(target, bytes('x'));
    await readAll(await small);
    await readAll(await large);
    if (bed.pair.client.backend !== 'local') expect(order).toEqual(['small', 'large']);
  });

  it('holds a writer whose reader is slow, and no other', async () => {
    const item = new Uint8Array(64 * 1024);
    const count = 100;
    const written = new Map<string, number>();
    const target = await bed.serve(async (request, sink) => {
      const who = text(request.payload);
      for (let index = 1; index <= count; index++) {
        written.set(who, index);
        if (!sink.write(item)) await sink.drained();
      }
      sink.end();
    });
    const slow = await bed.open(target, bytes('slow'));
    await slow.nextBatch();
    const fast = await Promise.all(
      ['a', 'b', 'c'].map(
        async (who) => (await readAll(await bed.open(target, bytes(who)))).length,
      ),
    );
    expect(fast).toEqual([count, count, count]);
    expect(written.get('slow')).toBeLessThan(count);
    let rest = 0;
    for await (const _ of slow) rest += 1;
    expect(rest).toBeGreaterThan(0);
    expect(written.get('slow')).toBe(count);
  });
}
