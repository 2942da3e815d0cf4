import { MessageChannel } from 'node:worker_threads';

import { createInstanceId } from '@dynamo-ts/base';
import { ConnectResponse } from '@dynamo-ts/protocol';
import { expect, it, vi } from 'vitest';

import { Context } from '../../context.ts';
import { ClientSession } from './client-session.ts';

const TARGET = {
  endpoint: { namespace: 'a', component: 'b', endpoint: 'c' },
  instanceId: createInstanceId(),
  transport: {},
};
const SOMETHING = ConnectResponse.encode(
  ConnectResponse.create({ frames: [{ stream: 99, body: { $case: 'end', value: {} } }] }),
).finish();
const ACCEPTED = ConnectResponse.encode(
  ConnectResponse.create({ frames: [{ stream: 1, body: { $case: 'accepted', value: {} } }] }),
).finish();

it.each([
  ['says nothing', false],
  ['says something else', true],
])('a server that %s while a request waits is silent or not', async (_case, speaks) => {
  const onSilent = vi.fn();
  const session = new ClientSession({
    send: (_message, done) => {
      done();
    },
    creditBytes: 1000,
    acceptTimeoutMs: 20,
    onSilent,
  });
  session.receive(SOMETHING);
  const opening = session.open(TARGET, { payload: new Uint8Array(), context: new Context() });
  if (speaks)
    setTimeout(() => {
      session.receive(SOMETHING);
    }, 5);
  await expect(opening).rejects.toMatchObject({ code: 'transport.timeout' });
  await new Promise((resolve) => setImmediate(resolve));
  expect(onSilent).toHaveBeenCalledTimes(speaks ? 0 : 1);
});

it('an answer that waits unread while this process stands still is no late one', async () => {
  const session = new ClientSession({
    send: (_message, done) => {
      done();
    },
    creditBytes: 1000,
    acceptTimeoutMs: 20,
  });
  const wire = new MessageChannel();
  wire.port2.on('message', (message: Uint8Array) => {
    session.receive(message);
  });
  // The next phase of the event loop is that of timers, and only then comes that of messages.
  await new Promise((resolve) => setImmediate(resolve));
  const opening = session.open(TARGET, { payload: new Uint8Array(), context: new Context() });
  await Promise.resolve();
  wire.port1.postMessage(ACCEPTED);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  await expect(opening).resolves.toBeDefined();
  wire.port1.close();
});
