/** Reading of discovery records: each must be whole, and stand under the key that it says of itself. */
import { DynamoError } from '@dynamo-ts/base';

import { EndpointInstance, ModelRecord } from './gen/dynamo/discovery/v1/discovery.ts';
import { instanceKey, modelCardKey } from './keys.ts';

/**
 * Reads the record of an instance. One under another's key would take that one's place and, when it goes, remove it.
 *
 * @throws `transport.protocol` when it cannot be read, names no instance or address, or stands under a foreign key
 */
export function readInstanceRecord(key: string, value: Uint8Array): EndpointInstance {
  const record = read(key, value, (json) => EndpointInstance.fromJSON(json));
  if (record.instanceId !== 0n && record.transport !== undefined)
    if (key === instanceKey(record, record.instanceId)) return record;
  throw notWhole(key);
}

/**
 * Reads the record of a model that an instance serves; adapters stand below the instance's own key.
 *
 * @throws `transport.protocol` when it cannot be read, names no instance, or stands under a foreign key
 */
export function readModelRecord(key: string, value: Uint8Array): ModelRecord {
  const record = read(key, value, (json) => ModelRecord.fromJSON(json));
  const own = modelCardKey(record, record.instanceId);
  if (record.instanceId !== 0n && (key === own || key.startsWith(`${own}/`))) return record;
  throw notWhole(key);
}

function read<T>(key: string, value: Uint8Array, fromJson: (json: unknown) => T): T {
  try {
    return fromJson(JSON.parse(new TextDecoder().decode(value)));
  } catch (cause) {
    throw new DynamoError('transport.protocol', `discovery record ${key} cannot be read`, {
      cause,
    });
  }
}

function notWhole(key: string): DynamoError {
  return new DynamoError(
    'transport.protocol',
    `discovery record ${key} is incomplete or stands under a key that is not its own`,
  );
}
