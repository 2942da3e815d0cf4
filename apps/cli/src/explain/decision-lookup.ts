/** Finds a recorded decision: at a running frontend or router, or in a decision log. */
import { DynamoError } from '@dynamo-ts/base';
import { Decision } from '@dynamo-ts/protocol';

import { decisionLines } from '../decision-lines.ts';

const TIMEOUT_MS = 5000;

/** Asks a running service; the newest decision when no id is given. @throws what went wrong, in one line */
export async function fetchDecision(url: string, id: string | undefined): Promise<Decision> {
  const base = url.replace(/\/+$/, '');
  const path = id === undefined ? '?limit=1' : `/${encodeURIComponent(id)}`;
  const body = await getJson(`${base}/debug/decisions${path}`, base, id);
  if (id !== undefined) return Decision.fromJSON(body);
  const newest = firstDecision(body);
  if (newest === undefined) throw unknown(`no decision has been recorded at ${base} yet`);
  return Decision.fromJSON(newest);
}

function firstDecision(body: unknown): unknown {
  if (typeof body !== 'object' || body === null || !('decisions' in body)) return undefined;
  const { decisions } = body;
  return Array.isArray(decisions) ? (decisions as readonly unknown[])[0] : undefined;
}

/** Reads a log of one decision per line; the last one when no id is given. */
export async function readDecision(path: string, id: string | undefined): Promise<Decision> {
  let last = '';
  for await (const { text: line } of decisionLines(path)) {
    if (id === undefined && line.trim() !== '') last = line;
    if (id === undefined || !line.includes(id)) continue;
    const decision = tryDecision(line);
    if (decision?.decisionId === id) return decision;
  }
  const newest = last === '' ? undefined : tryDecision(last);
  if (newest !== undefined) return newest;
  throw unknown(
    id === undefined
      ? `${path} holds no decision: it has one JSON object per line, written with --router-decision-log`
      : `${path} holds no decision ${id}`,
  );
}

function tryDecision(line: string): Decision | undefined {
  try {
    return Decision.fromJSON(JSON.parse(line));
  } catch {
    return undefined;
  }
}

async function getJson(url: string, base: string, id: string | undefined): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw unknown(
      `nothing answers at ${base}; name a frontend or the status server of a router with --url`,
    );
  }
  if (response.ok) return response.json();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  const isDebugPage = isJson && (await isDebugError(response));
  if (response.status === 404 && isDebugPage && id !== undefined)
    throw unknown(
      `${base} does not have decision ${id}: another process made it, or it has left the memory; a decision log keeps it (--log)`,
    );
  throw unknown(
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

function unknown(message: string): DynamoError {
  return new DynamoError('request.not_found', message);
}
