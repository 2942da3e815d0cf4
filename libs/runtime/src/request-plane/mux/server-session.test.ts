import { asInstanceId } from '@dynamo-ts/base';
import { ConnectRequest } from '@dynamo-ts/protocol';
import type { ClientFrame, Open } from '@dynamo-ts/protocol';
import { MetricsRegistry } from '@dynamo-ts/telemetry';
import { expect, it, vi } from 'vitest';

import { EndpointMetrics } from '../../endpoint-metrics.ts';
import { ServedHandlers } from '../served-handlers.ts';
import { MAX_PAYLOAD_BYTES } from './mux-limits.ts';
import { ServerSession } from './server-session.ts';

const PATH = { namespace: 'a', component: 'b', endpoint: 'c' };
const INSTANCE = asInstanceId(7n);
const CREDIT_BYTES = 10;

/** A session of one endpoint whose answer is two items of `CREDIT_BYTES`, and what it has counted. */
function setUp() {
  const registry = new MetricsRegistry();
  const observer = new EndpointMetrics(registry, { path: PATH, instanceId: INSTANCE, model: 'm' });
  const handlers = new ServedHandlers();
  handlers.add({ endpoint: PATH, instanceId: INSTANCE, observer }, (_request, sink) => {
    sink.write(new Uint8Array(CREDIT_BYTES));
    sink.write(new Uint8Array(CREDIT_BYTES));
    sink.end();
  });
  const send = vi.fn((_message: Uint8Array, done: () => void) => {
    done();
  });
  const session = new ServerSession({ handlers, send });
  const receive = (...frames: readonly ClientFrame[]): void => {
    session.receive(ConnectRequest.encode(ConnectRequest.create({ frames: [...frames] })).finish());
  };
  const errors = async (type: string): Promise<number> =>
    Number(new RegExp(`errors_total\\{.*"${type}"\\} (\\d)`).exec(await registry.text())?.[1]);
  return { session, receive, errors, send };
}

function open(fields: Partial<Open> = {}): ClientFrame {
  const value: Open = {
    endpoint: 'a.b.c',
    instanceId: INSTANCE,
    requestId: 'r',
    headers: {},
    payload: new Uint8Array(),
    payloadSize: 0,
    credit: CREDIT_BYTES,
    ...fields,
  };
  return { stream: 1, body: { $case: 'open', value } };
}

it('counts requests that break the protocol', async () => {
  const { receive, errors } = setUp();
  receive(open({ payloadSize: MAX_PAYLOAD_BYTES + 1 }));
  expect(await errors('invalid_message')).toBe(1);
  receive(open({ payloadSize: 2 }));
  receive({ stream: 1, body: { $case: 'data', value: new Uint8Array(3) } });
  expect(await errors('invalid_message')).toBe(2);
  expect(await errors('deserialization')).toBe(0);
});

it('counts an ended answer whose caller goes before it has room for the rest', async () => {
  const { session, receive, errors, send } = setUp();
  receive(open());
  await vi.waitFor(() => expect(send).toHaveBeenCalled());
  expect(await errors('publish_final')).toBe(0);
  session.close();
  session.close();
  expect(await errors('publish_final')).toBe(1);
  expect(await errors('publish_response')).toBe(0);
});

it('counts nothing when all could be sent, or when the caller wants no more', async () => {
  const { session, receive, errors, send } = setUp();
  receive(open({ credit: 100 }));
  receive({ ...open(), stream: 2 });
  await vi.waitFor(() => expect(send).toHaveBeenCalled());
  receive({
    stream: 2,
    body: { $case: 'kill', value: { reason: 'client-gone', sinceUnixMs: undefined } },
  });
  session.close();
  expect(await errors('publish_final')).toBe(0);
});
