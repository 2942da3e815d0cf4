/**
 * Payloads of typed endpoints: MessagePack of plain structures. 64-bit integers come back as `bigint`, and no records
 * extension is used, so that every MessagePack library reads them.
 */
import { DynamoError } from '@dynamo-ts/base';
import { Packr } from 'msgpackr';

const packr = new Packr({ useRecords: false, int64AsType: 'bigint', moreTypes: false });

/** MessagePack bytes of a value. @throws `request.invalid` when it cannot be encoded */
export function encodePayload(value: unknown): Uint8Array {
  try {
    return packr.pack(value);
  } catch (error) {
    throw new DynamoError('request.invalid', 'the value cannot be encoded as MessagePack', {
      cause: error,
    });
  }
}

/** The value of MessagePack bytes. @throws `request.invalid` when they are not MessagePack */
export function decodePayload(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(bytes);
  } catch (error) {
    throw new DynamoError('request.invalid', 'the payload is not MessagePack', { cause: error });
  }
}
