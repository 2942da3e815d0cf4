import { asInstanceId } from '@dynamo-ts/base';
import { MetricsRegistry } from '@dynamo-ts/telemetry';
import { expect, it } from 'vitest';

import { Context } from './context.ts';
import { EndpointMetrics } from './endpoint-metrics.ts';
import { ingressHandler } from './ingress.ts';
import type { ResponseSink } from './request-plane/request-plane.ts';

const SINK: ResponseSink = {
  write: () => true,
  drained: () => Promise.resolve(),
  end: () => undefined,
  fail: () => undefined,
};

it.each([
  ['its caller stops it', { gone: false, items: 1 }, { publish: 0, stream: 0 }],
  ['its caller goes before it begins', { gone: true, items: 0 }, { publish: 0, stream: 1 }],
  ['its caller goes amid it', { gone: true, items: 1 }, { publish: 1, stream: 0 }],
])('counts an answer that cannot be sent when %s', async (_case, { gone, items }, unsent) => {
  const registry = new MetricsRegistry();
  const path = { namespace: 'a', component: 'b', endpoint: 'c' };
  const instanceId = asInstanceId(1n);
  const context = new Context({ headers: { 'x-dynamo-sent-ms': String(Date.now() - 500) } });
  const caller = new AbortController();
  const metrics = new EndpointMetrics(registry, { path, instanceId, model: 'm' });
  const handler = ingressHandler(
    (_request, sink) => {
      for (let item = 0; item < items; item += 1) sink.write(new Uint8Array(1));
    },
    { path, instanceId, metrics },
  );
  const request = { endpoint: path, context, payload: new Uint8Array(), caller: caller.signal };
  void handler(request, SINK);
  if (gone) caller.abort();
  context.kill('client-gone');
  context.kill('client-gone');
  const page = await registry.text();
  expect(page).toMatch(new RegExp(`errors_total\\{.*"publish_response"\\} ${unsent.publish}`));
  expect(page).toMatch(new RegExp(`errors_total\\{.*"response_stream"\\} ${unsent.stream}`));
  const transit = /network_transit_seconds_sum\{.*\} (\S+)/.exec(page)?.[1];
  expect(Number(transit)).toBeGreaterThanOrEqual(0.5);
});
