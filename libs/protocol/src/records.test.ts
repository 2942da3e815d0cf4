import { describe, expect, it } from 'vitest';

import { EndpointInstance, ModelRecord } from './gen/dynamo/discovery/v1/discovery.ts';
import { instanceKey, modelCardKey } from './keys.ts';
import { readInstanceRecord, readModelRecord } from './records.ts';

const PATH = { namespace: 'n', component: 'c', endpoint: 'e' };
const instance = EndpointInstance.fromPartial({
  ...PATH,
  instanceId: 7n,
  transport: { kind: { $case: 'grpc', value: '127.0.0.1:1' } },
});
const model = ModelRecord.fromPartial({ ...PATH, instanceId: 7n, card: { displayName: 'm' } });
const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

describe('discovery records', () => {
  it('are read from under their own key', () => {
    const value = bytes(EndpointInstance.toJSON(instance));
    expect(readInstanceRecord(instanceKey(PATH, 7n), value)).toEqual(instance);
    const card = bytes(ModelRecord.toJSON(model));
    expect(readModelRecord(modelCardKey(PATH, 7n), card)).toEqual(model);
    expect(readModelRecord(modelCardKey(PATH, 7n, 'adapter'), card)).toEqual(model);
  });

  it.each([
    ['another instance', instanceKey(PATH, 8n), EndpointInstance.toJSON(instance)],
    ['no instance', instanceKey(PATH, 0n), { ...PATH }],
    ['no address', instanceKey(PATH, 7n), { ...PATH, instance_id: '7' }],
    ['no object', instanceKey(PATH, 7n), null],
  ])('of an instance are refused under the key of %s', (_, key, value) => {
    expect(() => readInstanceRecord(key, bytes(value))).toThrow(/discovery record/);
  });

  it('of a model are refused under the key of another instance', () => {
    const card = bytes(ModelRecord.toJSON(model));
    expect(() => readModelRecord(modelCardKey(PATH, 8n), card)).toThrow(/not its own/);
    expect(() => readModelRecord(`${modelCardKey(PATH, 7n)}8`, card)).toThrow(/not its own/);
  });
});
