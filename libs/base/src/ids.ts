/**
 * Branded identifiers. u64 ids are `bigint` inside, lower-case hex in keys and metric labels, and decimal
 * strings in JSON, because a JSON number loses their low bits in JavaScript.
 */
import { randomBytes } from 'node:crypto';

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** u64 id of one live process serving endpoints; random per process start, independent of any lease. */
export type InstanceId = Branded<bigint, 'InstanceId'>;

/** Id of one request, the same on every hop and for every migration attempt. */
export type RequestId = Branded<string, 'RequestId'>;

/** Source of random bytes; injected where a test needs repeatable ids. */
export type RandomBytes = (count: number) => Uint8Array;

/** A fresh random instance id, never 0. */
export function createInstanceId(random: RandomBytes = randomBytes): InstanceId {
  const bytes = random(8);
  const id = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  return (id === 0n ? 1n : id) as InstanceId;
}

/** Reads an instance id from its decimal form. @returns undefined when it is not a u64 */
export function tryInstanceId(decimal: string): InstanceId | undefined {
  if (!/^\d{1,20}$/.test(decimal)) return undefined;
  const id = BigInt(decimal);
  return id <= 0xffff_ffff_ffff_ffffn ? (id as InstanceId) : undefined;
}

/** Marks a u64 that came from a trusted place (a decoded record) as an instance id. */
export function asInstanceId(id: bigint): InstanceId {
  return id as InstanceId;
}

/** Lower-case hex, as used in keys and in the `worker_id` metric label. */
export function instanceIdHex(id: bigint): string {
  return id.toString(16);
}

/** A fresh request id (UUID v4). */
export function createRequestId(): RequestId {
  return crypto.randomUUID() as RequestId;
}

/** Marks a non-empty string that a caller chose as a request id. */
export function asRequestId(id: string): RequestId {
  return id as RequestId;
}
