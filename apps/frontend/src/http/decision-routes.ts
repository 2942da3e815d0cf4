/** Recorded decisions on the frontend's own port, for one that only this machine can reach. */
import { isIP } from 'node:net';

import { DECISIONS_PATH, decisionPage } from '@dynamo-ts/routing';
import type { DecisionSource } from '@dynamo-ts/routing';
import type { FastifyInstance } from 'fastify';

/** Adds the routes. */
export function addDecisionRoutes(
  app: FastifyInstance,
  sources: () => readonly DecisionSource[],
): void {
  for (const path of [DECISIONS_PATH, `${DECISIONS_PATH}/:id`]) {
    app.get(path, async (request, reply) => {
      const page = await decisionPage(sources(), request.url);
      await reply
        .code(page?.status ?? 404)
        .type('application/json; charset=utf-8')
        .send(page?.json);
    });
  }
}

/** Whether a server that listens on this address can be reached from this machine alone. */
export function isLoopback(host: string): boolean {
  const address = host.replace(/^\[|\]$/g, '');
  switch (isIP(address)) {
    case 4:
      return address.startsWith('127.');
    case 6:
      return /^(?:0*:)*:?0*1$/.test(address);
    default:
      return address === 'localhost';
  }
}
