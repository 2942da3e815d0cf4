/** Events of a worker's cache as programs see them (RP 2.1). Services send encoded batches instead. */
import { DynamoError, asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';

import type { KvTier } from './local-kv-indexer.ts';

/** A change of a rank's cache. */
export type KvCacheEventData =
  | {
      readonly kind: 'stored';
      /** The engine's hash of the block before the first one; undefined at the start of a prompt. */
      readonly parentHash?: bigint | undefined;
      /** The engine's own hashes of the blocks. */
      readonly blockHashes: BigUint64Array;
      /** Local hashes of the same blocks, see `computeBlockHashForSeq`. */
      readonly tokensHashes: BigUint64Array;
    }
  | { readonly kind: 'removed'; readonly blockHashes: BigUint64Array }
  | { readonly kind: 'cleared' };

/** One event of one rank. */
export interface KvCacheEvent {
  readonly eventId: bigint;
  /** @default 0 */
  readonly dpRank?: number | undefined;
  /** @default 'device' */
  readonly tier?: KvTier | undefined;
  readonly data: KvCacheEventData;
}

/** An event and the worker that it is of. */
export interface RouterEvent {
  readonly workerId: InstanceId;
  readonly event: KvCacheEvent;
}

/**
 * Reads the reference's JSON form of an event; numbers keep all 64 bits.
 *
 * @throws `request.invalid` when it is none
 */
export function parseRouterEvent(json: string): RouterEvent {
  try {
    return routerEvent(JSON.parse(json, keepBits));
  } catch (error) {
    throw new DynamoError('request.invalid', 'this is no router event in JSON', { cause: error });
  }
}

const TIERS: Readonly<Record<string, KvTier>> = {
  device: 'device',
  host_pinned: 'host',
  disk: 'disk',
  external: 'external',
};

type Json = Readonly<Record<string, unknown>>;

function routerEvent(value: unknown): RouterEvent {
  const { worker_id, storage_tier = 'device', event } = object(value);
  const { event_id, dp_rank = 0n, data } = object(event);
  const tier = TIERS[String(storage_tier)];
  if (tier === undefined) throw new TypeError(`storage tier ${String(storage_tier)}`);
  return {
    workerId: asInstanceId(id(worker_id)),
    event: { eventId: id(event_id), dpRank: Number(id(dp_rank)), tier, data: eventData(data) },
  };
}

function eventData(value: unknown): KvCacheEventData {
  if (value === 'cleared') return { kind: 'cleared' };
  const { stored, removed } = object(value);
  if (removed !== undefined)
    return { kind: 'removed', blockHashes: hashes(object(removed)['block_hashes']) };
  const { parent_hash, blocks } = object(stored);
  const all = list(blocks).map(object);
  return {
    kind: 'stored',
    parentHash: parent_hash === null || parent_hash === undefined ? undefined : id(parent_hash),
    blockHashes: hashes(all.map((block) => block['block_hash'])),
    tokensHashes: hashes(all.map((block) => block['tokens_hash'])),
  };
}

/** Whole numbers become bigints, from their digits: a JSON number would lose low bits. */
function keepBits(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  const { source } = context ?? {};
  return typeof value === 'number' && source !== undefined && /^-?\d+$/.test(source)
    ? BigInt.asUintN(64, BigInt(source))
    : value;
}

function object(value: unknown): Json {
  if (typeof value !== 'object' || value === null) throw new TypeError('an object is missing');
  return value as Json; // its fields are checked one by one
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new TypeError('a list is missing');
  return value;
}

function hashes(value: unknown): BigUint64Array {
  return BigUint64Array.from(list(value).map(id));
}

function id(value: unknown): bigint {
  if (typeof value !== 'bigint') throw new TypeError('a whole number is missing');
  return value;
}
