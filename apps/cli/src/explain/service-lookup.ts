/** Asks a running frontend or router for recorded decisions. */
import { toDynamoError } from '@dynamo-ts/base';
import type { DynamoError } from '@dynamo-ts/base';
import { Decision } from '@dynamo-ts/protocol';

import { isOfRequest, notFound } from './decision-query.ts';
import type { DecisionQuery, FoundDecisions } from './decision-query.ts';

const TIMEOUT_MS = 5000;
/** As many as a service lists. */
const MOST_DECISIONS = 1000;

/**
 * Asks the first of these addresses that shows decisions.
 *
 * @throws request.not_found when nothing answers there, or it does not show decisions
 */
export async function fetchDecisions(
  addresses: readonly string[],
  query: DecisionQuery,
): Promise<FoundDecisions> {
  let first: DynamoError | undefined;
  for (const base of addresses) {
    try {
      return await askFor(base, query);
    } catch (error) {
      first ??= toDynamoError(error);
    }
  }
  throw first ?? notFound('the port of the frontend is not known; name it with --url');
}

async function askFor(base: string, query: DecisionQuery): Promise<FoundDecisions> {
  switch (query.kind) {
    case 'ids':
      return byIds(base, query.ids);
    case 'request':
      return byRequest(base, query.requestId);
    case 'last':
      return newest(base);
  }
}

async function byIds(base: string, ids: readonly string[]): Promise<FoundDecisions> {
  const answers = await Promise.all(ids.map(async (id) => ask(base, `/${encodeURIComponent(id)}`)));
  const absent = ids.filter((_, index) => answers[index] === undefined);
  return {
    decisions: answers.flatMap((each) => (each === undefined ? [] : [Decision.fromJSON(each)])),
    problem:
      absent.length === 0
        ? undefined
        : notFound(
            `${base} does not have decision ${absent.join(', ')}: another process made it, or it has left the memory; a decision log keeps it (--log)`,
          ),
  };
}

async function byRequest(base: string, requestId: string): Promise<FoundDecisions> {
  const decisions = listed(await ask(base, `?limit=${MOST_DECISIONS}`))
    .filter((decision) => isOfRequest(decision, requestId))
    .toReversed();
  if (decisions.length > 0) return { decisions };
  const message = `${base} does not have a decision of request ${requestId}: another process made it, or it has left the memory; a decision log keeps it (--log)`;
  return { decisions, problem: notFound(message) };
}

async function newest(base: string): Promise<FoundDecisions> {
  const decisions = listed(await ask(base, '?limit=1')).slice(0, 1);
  if (decisions.length > 0) return { decisions };
  return { decisions, problem: notFound(`no decision has been recorded at ${base} yet`) };
}

function listed(body: unknown): readonly Decision[] {
  if (typeof body !== 'object' || body === null || !('decisions' in body)) return [];
  return Array.isArray(body.decisions) ? body.decisions.map((each) => Decision.fromJSON(each)) : [];
}

/** The page below `/debug/decisions`; undefined for a decision that is not there. */
async function ask(base: string, path: string): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(`${base}/debug/decisions${path}`, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw notFound(
      `nothing answers at ${base}; name a frontend or the status server of a router with --url`,
    );
  }
  if (response.ok) return response.json();
  if (response.status === 404 && path.startsWith('/') && (await isDebugError(response)))
    return undefined;
  throw notFound(
    `${base} does not show decisions (status ${response.status}): they are on the status server (DYN_SYSTEM_PORT), and on a frontend only when it listens on loopback (--http-host 127.0.0.1)`,
  );
}

/** Told apart from a frontend's own 404 for a path that it does not have: its error is an object. */
async function isDebugError(response: Response): Promise<boolean> {
  const body: unknown = await response.json().catch(() => undefined);
  return (
    typeof body === 'object' && body !== null && 'error' in body && typeof body.error === 'string'
  );
}
