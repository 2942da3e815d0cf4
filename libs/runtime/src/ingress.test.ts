import { asInstanceId } from '@dynamo-ts/base';
import { MetricsRegistry } from '@dynamo-ts/telemetry';
import { expect, it } from 'vitest';

import { Context } from './context.ts';
import { ingressHandler } from './ingress.ts';
import type { ResponseSink } from './request-plane/request-plane.ts';

const SINK: ResponseSink = {
  write: () => true,
  drained: () => Promise.resolve(),
  end: () => undefined,
  fail: () => undefined,
};

it.each([
  ['its caller stops it', false, 0],
  ['its caller goes', true, 1],
])('counts an answer that cannot be sent when %s', async (_case, gone, unsent) => {
  const metrics = new MetricsRegistry();
  const endpoint = { namespace: 'a', component: 'b', endpoint: 'c' };
  const context = new Context({ headers: { 'x-dynamo-sent-ms': String(Date.now() - 500) } });
  const caller = new AbortController();
  const handler = ingressHandler((_request, sink) => void sink.write(new Uint8Array(1)), {
    path: endpoint,
    instanceId: asInstanceId(1n),
    model: 'm',
    metrics,
  });
  void handler({ endpoint, context, payload: new Uint8Array(), caller: caller.signal }, SINK);
  if (gone) caller.abort();
  context.kill('client-gone');
  context.kill('client-gone');
  const page = await metrics.text();
  expect(page).toMatch(new RegExp(`errors_total\\{.*"publish_response"\\} ${unsent}`));
  const transit = /network_transit_seconds_sum\{.*\} (\S+)/.exec(page)?.[1];
  expect(Number(transit)).toBeGreaterThanOrEqual(0.5);
});
