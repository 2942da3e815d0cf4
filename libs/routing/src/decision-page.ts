/**
 * `GET /debug/decisions` and `/debug/decisions/{id}`: recorded decisions as JSON, for people who ask why. Never served where
 * strangers can ask: only on status servers, and on a frontend's port when that listens on loopback.
 */
import { Decision } from '@dynamo-ts/protocol';

/** Where recorded decisions are. */
export interface DecisionSource {
  /** Undefined when it was not recorded here or has left the memory. */
  decision(id: string): Decision | undefined | Promise<Decision | undefined>;
  /** Newest first. */
  recentDecisions(limit: number): readonly Decision[] | Promise<readonly Decision[]>;
}

/** An answer. */
export interface DecisionPage {
  readonly status: number;
  readonly json: string;
}

/** Path of the list; one decision is below it. */
export const DECISIONS_PATH = '/debug/decisions';

const DEFAULT_LIMIT = 20;
const MOST_DECISIONS = 1000;

/** The answer to a URL; undefined when it is not about decisions. */
export async function decisionPage(
  sources: readonly DecisionSource[],
  url: string,
): Promise<DecisionPage | undefined> {
  const [path = '', query = ''] = url.split('?', 2);
  if (path === DECISIONS_PATH) return listPage(sources, new URLSearchParams(query).get('limit'));
  if (!path.startsWith(`${DECISIONS_PATH}/`)) return undefined;
  return onePage(sources, path.slice(DECISIONS_PATH.length + 1));
}

async function listPage(
  sources: readonly DecisionSource[],
  wanted: string | null,
): Promise<DecisionPage> {
  const limit = wanted === null ? DEFAULT_LIMIT : Number(wanted);
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST_DECISIONS)
    return problem(400, `limit must be a number from 1 to ${MOST_DECISIONS}`);
  const lists = await Promise.all(sources.map(async (source) => source.recentDecisions(limit)));
  const newest = lists
    .flat()
    .sort((one, other) => other.timestampMs - one.timestampMs)
    .slice(0, limit);
  const decisions = newest.map((decision) => Decision.toJSON(decision));
  return { status: 200, json: JSON.stringify({ decisions }) };
}

async function onePage(sources: readonly DecisionSource[], id: string): Promise<DecisionPage> {
  const answers = await Promise.all(sources.map(async (source) => source.decision(id)));
  const found = answers.find((decision) => decision !== undefined);
  if (found !== undefined) return { status: 200, json: JSON.stringify(Decision.toJSON(found)) };
  return problem(404, 'no such decision is in memory: it was made elsewhere, or long ago');
}

function problem(status: number, message: string): DecisionPage {
  return { status, json: JSON.stringify({ error: message }) };
}
