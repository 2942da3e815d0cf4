import { DynamoError } from '@dynamo-ts/base';
import { describe, expect, it } from 'vitest';

import { MAX_BATCH_ITEMS, ResponseBuffer } from './response-buffer.ts';

const COUNT = 1000;
const item = (index: number): Uint8Array => Buffer.from(index % 7 === 0 ? '' : `item ${index}`);

function filled() {
  const taken: number[] = [];
  const buffer = new ResponseBuffer({
    onTaken: (bytes) => taken.push(bytes),
    onCancel: () => undefined,
  });
  let bytes = 0;
  for (let index = 0; index < COUNT; index += 1) {
    buffer.push(item(index));
    bytes += item(index).byteLength;
  }
  return { buffer, taken, bytes };
}

async function drain(buffer: ResponseBuffer): Promise<{ items: string[]; batches: number[] }> {
  const items: string[] = [];
  const batches: number[] = [];
  for (;;) {
    const batch = await buffer.nextBatch();
    if (batch === undefined) return { items, batches };
    batches.push(batch.length);
    items.push(...batch.map((each) => Buffer.from(each).toString()));
    if (items.length === COUNT) buffer.end();
  }
}

describe('ResponseBuffer', () => {
  it('gives what a slow reader left in order, in bounded batches, and all of its credit back', async () => {
    const { buffer, taken, bytes } = filled();
    const { items, batches } = await drain(buffer);
    expect(items).toEqual(Array.from({ length: COUNT }, (_, index) => item(index).toString()));
    expect(Math.max(...batches)).toBe(MAX_BATCH_ITEMS);
    expect(taken.reduce((sum, each) => sum + each, 0)).toBe(bytes);
  });

  it('gives what came before a failure, then the failure', async () => {
    const { buffer } = filled();
    buffer.fail(new DynamoError('transport.disconnected', 'gone'));
    let count = 0;
    await expect(
      (async () => {
        for (;;) count += (await buffer.nextBatch())?.length ?? 0;
      })(),
    ).rejects.toMatchObject({ code: 'transport.disconnected' });
    expect(count).toBe(COUNT);
  });

  it('drops everything when it is cancelled', async () => {
    const { buffer } = filled();
    buffer.cancel();
    await expect(buffer.nextBatch()).rejects.toMatchObject({ code: 'request.cancelled' });
  });

  it('keeps no message alive for the few bytes of it that nobody reads', async () => {
    const buffer = new ResponseBuffer({ onCancel: () => undefined });
    const before = process.memoryUsage().arrayBuffers;
    for (let index = 0; index < 2000; index += 1) {
      buffer.push(new Uint8Array(64 * 1024).subarray(0, 10));
    }
    await new Promise((resolve) => setImmediate(resolve));
    globalThis.gc?.();
    const first = await buffer.nextBatch();
    expect(first).toHaveLength(MAX_BATCH_ITEMS);
    expect(first?.[0]?.buffer.byteLength).toBeLessThan(16 * MAX_BATCH_ITEMS);
    if (globalThis.gc !== undefined)
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10 * 1024 * 1024);
  });
});
