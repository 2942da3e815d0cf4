/**
 * Decoder of the simulator's KV event records, for tests and tools; services hand the bytes on as they are.
 *
 * Records follow each other, little-endian and 8-aligned:
 * `kind u8 (1 stored, 2 removed, 3 cleared) | flags u8 (1: has a parent) | rank u16 | count u32 | parent u64`, then
 * `count` sequence hashes and, when stored, `count` local hashes, u64 each.
 */
import { DynamoError } from '@dynamo-ts/base';

/** One change of a cache's content. */
export type KvEvent =
  | {
      readonly kind: 'stored';
      readonly dpRank: number;
      /** Sequence hash of the block before the first one. */
      readonly parentHash: bigint | undefined;
      /** Hashes of everything up to each block's end. */
      readonly sequenceHashes: BigUint64Array;
      /** Hashes of each block's own tokens. */
      readonly localHashes: BigUint64Array;
    }
  | { readonly kind: 'removed'; readonly dpRank: number; readonly sequenceHashes: BigUint64Array }
  | { readonly kind: 'cleared'; readonly dpRank: number };

const HEADER_BYTES = 16;

/**
 * Reads all records of one batch.
 *
 * @throws `transport.protocol` when the bytes are no such records
 */
export function decodeKvEvents(bytes: Uint8Array): KvEvent[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const events: KvEvent[] = [];
  for (let at = 0; at < bytes.byteLength;) {
    requireBytes(bytes, at + HEADER_BYTES);
    const kind = view.getUint8(at);
    const count = view.getUint32(at + 4, true);
    const body = at + HEADER_BYTES;
    at = body + count * 8 * (kind === 1 ? 2 : 1);
    requireBytes(bytes, at);
    events.push(decodeEvent(view, body, count));
  }
  return events;
}

function decodeEvent(view: DataView, body: number, count: number): KvEvent {
  const header = body - HEADER_BYTES;
  const kind = view.getUint8(header);
  const dpRank = view.getUint16(header + 2, true);
  const hasParent = (view.getUint8(header + 1) & 1) === 1;
  switch (kind) {
    case 1: {
      const parentHash = hasParent ? view.getBigUint64(header + 8, true) : undefined;
      const sequenceHashes = hashes(view, body, count);
      const localHashes = hashes(view, body + count * 8, count);
      return { kind: 'stored', dpRank, parentHash, sequenceHashes, localHashes };
    }
    case 2:
      return { kind: 'removed', dpRank, sequenceHashes: hashes(view, body, count) };
    case 3:
      return { kind: 'cleared', dpRank };
    default:
      throw new DynamoError(
        'transport.protocol',
        `A KV event record has the unknown kind ${kind}.`,
      );
  }
}

function hashes(view: DataView, at: number, count: number): BigUint64Array {
  return BigUint64Array.from({ length: count }, (_, index) =>
    view.getBigUint64(at + index * 8, true),
  );
}

function requireBytes(bytes: Uint8Array, end: number): void {
  if (end <= bytes.byteLength) return;
  throw new DynamoError(
    'transport.protocol',
    `KV event records end after ${bytes.byteLength} bytes, inside a record of ${end}.`,
  );
}
