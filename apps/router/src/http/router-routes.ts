/** The router's calls as JSON over HTTP: each is `POST /{name}`, with the fields of its message in the contract. */
import { createRequestId } from '@dynamo-ts/base';
import { ROUTER_ENDPOINTS, ROUTER_METHODS } from '@dynamo-ts/routing';
import type { RouterMethodName, RouterService } from '@dynamo-ts/routing';
import { Context } from '@dynamo-ts/runtime';
import type { MetricsRegistry } from '@dynamo-ts/telemetry';
import { METRICS_CONTENT_TYPE } from '@dynamo-ts/telemetry';

import { HttpProblem } from './http-problem.ts';
import type { HttpReply, HttpRequest, HttpRoute } from './http-server.ts';

/** What a router serves over HTTP. */
export function routerRoutes(
  service: RouterService,
  metrics: MetricsRegistry,
): readonly HttpRoute[] {
  const names = Object.keys(ROUTER_METHODS) as RouterMethodName[];
  return [
    ...names.map((name): HttpRoute => {
      const path = `/${ROUTER_ENDPOINTS[name]}`;
      return { method: 'POST', path, answer: (request) => answer(service, name, request) };
    }),
    { method: 'GET', path: '/health', answer: () => ({ json: { status: 'ok' } }) },
    {
      method: 'GET',
      path: '/metrics',
      answer: async () => ({ text: { type: METRICS_CONTENT_TYPE, body: await metrics.text() } }),
    },
  ];
}

async function answer(
  service: RouterService,
  name: RouterMethodName,
  { body, signal, headers }: HttpRequest,
): Promise<HttpReply> {
  if (typeof body !== 'object' || body === null)
    throw new HttpProblem(400, 'the body must be a JSON object');
  const traceparent = headers['traceparent'];
  const context = new Context({
    id: createRequestId(),
    headers: typeof traceparent === 'string' ? { traceparent } : {},
  });
  signal.addEventListener('abort', () => {
    context.kill('client-gone');
  });
  return { json: await ROUTER_METHODS[name].callJson(service, body, { context }) };
}
