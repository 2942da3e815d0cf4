import { asInstanceId } from '@dynamo-ts/base';
import { describe, expect, it } from 'vitest';

import { computeBlockHashForSeq } from './block-hash.ts';
import { parseRouterEvent } from './kv-cache-event.ts';
import { KvIndexer } from './kv-indexer.ts';
import { RadixTree } from './radix-tree.ts';

const worker = asInstanceId(7n);

/** Hashes of tokens 1 to 8 in blocks of 4, as the events of RP 14.1 have them. */
const PROMPT = Uint32Array.from({ length: 12 }, (_, index) => index + 1);
const [first = 0n, second = 0n] = computeBlockHashForSeq(PROMPT, 4);

const STORED = `{"worker_id":7,"storage_tier":"device","event":{"event_id":1,"dp_rank":0,"data":{"stored":{"parent_hash":null,"start_position":0,
  "blocks":[{"block_hash":1001,"tokens_hash":${first}},{"block_hash":1002,"tokens_hash":${second}}]}}}}`;
const REMOVED = `{"worker_id":7,"event":{"event_id":2,"dp_rank":0,"data":{"removed":{"block_hashes":[1002]}}}}`;
const CLEARED = `{"worker_id":7,"event":{"event_id":3,"dp_rank":0,"data":"cleared"}}`;

describe('KvIndexer', () => {
  it('scores a prompt as the events say (RP 14.1)', async () => {
    await using indexer = new KvIndexer({ blockSize: 4 });
    const score = (): number => indexer.findMatches(PROMPT).of(worker);
    expect(indexer.applyEvent(parseRouterEvent(STORED))).toBe('ok');
    expect(score()).toBe(2);
    expect(indexer.findMatches(PROMPT).scores).toEqual(new Map([[worker, 2]]));
    indexer.update(parseRouterEvent(REMOVED));
    expect(score()).toBe(1);
    indexer.applyEvent(parseRouterEvent(CLEARED));
    expect(score()).toBe(0);
    expect(indexer.findMatches(PROMPT).ranks).toEqual([]);
  });

  it('takes blocks out by their hash', async () => {
    await using indexer = new KvIndexer({ blockSize: 4 });
    indexer.applyEvent(parseRouterEvent(STORED));
    expect(indexer.remove(worker, BigUint64Array.of(1002n))).toBe('ok');
    expect(indexer.findMatches(PROMPT).of(worker)).toBe(1);
  });

  it('refuses blocks behind an unknown parent', async () => {
    await using indexer = new KvIndexer({ blockSize: 4 });
    const orphan = parseRouterEvent(STORED.replace('"parent_hash":null', '"parent_hash":999'));
    expect(indexer.applyEvent(orphan)).toBe('parent_block_not_found');
    expect(indexer.findMatches(PROMPT).ranks).toEqual([]);
  });

  it('keeps prompts of different cache namespaces apart', async () => {
    await using indexer = new KvIndexer({ blockSize: 4 });
    indexer.applyEvent(parseRouterEvent(STORED));
    const other = indexer.findMatches(PROMPT, { cacheNamespace: 'tenant' });
    expect(other.ranks).toEqual([]);
  });

  it('refuses use after its end', async () => {
    const indexer = new KvIndexer({ blockSize: 4 });
    await indexer.close();
    await indexer.close();
    expect(() => indexer.findMatches(PROMPT)).toThrow(
      expect.objectContaining({ code: 'runtime.closed' }),
    );
  });
});

describe('parseRouterEvent', () => {
  it('keeps all 64 bits of hashes', () => {
    const { data } = parseRouterEvent(STORED.replace('1001', '-1')).event;
    expect(data).toMatchObject({
      kind: 'stored',
      blockHashes: BigUint64Array.of(0xffff_ffff_ffff_ffffn, 1002n),
      tokensHashes: BigUint64Array.of(first, second),
    });
  });

  it.each([
    '',
    '[]',
    '{"worker_id":7}',
    STORED.replace('device', 'tape'),
    REMOVED.replace('7', '7.5'),
  ])('refuses %s', (text) => {
    expect(() => parseRouterEvent(text)).toThrow(
      expect.objectContaining({ code: 'request.invalid' }),
    );
  });
});

describe('RadixTree', () => {
  it('is built again from its own events', async () => {
    await using tree = new RadixTree();
    const { event } = parseRouterEvent(STORED);
    tree.applyEvent(worker, event);
    tree.applyEvent(asInstanceId(8n), { ...event, dpRank: 1, tier: 'host' });
    await using copy = new RadixTree();
    for (const { workerId, event: dumped } of tree.dumpTreeAsEvents())
      expect(copy.applyEvent(workerId, dumped)).toBe('ok');
    const hashes = computeBlockHashForSeq(PROMPT, 4);
    expect(copy.findMatches(hashes).ranks).toEqual(tree.findMatches(hashes).ranks);
    expect(copy.findMatches(hashes).ranks).toHaveLength(2);
  });

  it('counts who holds each block', async () => {
    await using tree = new RadixTree();
    const { event } = parseRouterEvent(STORED);
    tree.applyEvent(worker, event);
    tree.applyEvent(asInstanceId(8n), event);
    tree.applyEvent(worker, {
      eventId: 2n,
      data: { kind: 'removed', blockHashes: BigUint64Array.of(1002n) },
    });
    expect(tree.findMatches(computeBlockHashForSeq(PROMPT, 4)).frequencies).toEqual([2, 1]);
    expect(tree.stats()).toMatchObject({ blocks: 2, entries: 3, ranks: 2 });
  });

  it('forgets a worker', async () => {
    await using tree = new RadixTree();
    tree.applyEvent(worker, parseRouterEvent(STORED).event);
    tree.clearAllBlocks(worker);
    expect(tree.findMatches(computeBlockHashForSeq(PROMPT, 4)).ranks).toEqual([]);
  });
});
