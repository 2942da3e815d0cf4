/** Finds recorded decisions in decision logs. */
import type { Decision } from '@dynamo-ts/protocol';

import type { DecisionReader } from '../decision-reader.ts';
import { isOfRequest, notFound } from './decision-query.ts';
import type { DecisionQuery, FoundDecisions } from './decision-query.ts';

/** Reads logs for what is asked. @throws config.invalid when a file cannot be read */
export async function readDecisions(
  reader: DecisionReader,
  query: DecisionQuery,
): Promise<FoundDecisions> {
  switch (query.kind) {
    case 'ids':
      return byIds(reader, query.ids);
    case 'request':
      return byRequest(reader, query.requestId);
    case 'last':
      return newest(reader);
  }
}

async function byIds(reader: DecisionReader, ids: readonly string[]): Promise<FoundDecisions> {
  const wanted = new Map<string, Decision | undefined>(ids.map((id) => [id, undefined]));
  let missing = wanted.size;
  // Most lines need not be parsed for one id.
  for await (const { decision } of reader.read(ids.length === 1 ? ids[0] : '')) {
    if (!wanted.has(decision.decisionId) || wanted.get(decision.decisionId) !== undefined) continue;
    wanted.set(decision.decisionId, decision);
    missing -= 1;
    if (missing === 0) break;
  }
  const absent = [...wanted].filter(([, decision]) => decision === undefined).map(([id]) => id);
  return {
    decisions: [...wanted.values()].filter((decision) => decision !== undefined),
    problem:
      absent.length === 0
        ? undefined
        : notFound(`${namesOf(reader)} holds no decision ${absent.join(', ')}${elsewhere(reader)}`),
  };
}

async function byRequest(reader: DecisionReader, requestId: string): Promise<FoundDecisions> {
  const decisions: Decision[] = [];
  for await (const { decision } of reader.read(requestId))
    if (isOfRequest(decision, requestId)) decisions.push(decision);
  decisions.sort((one, other) => one.timestampMs - other.timestampMs);
  if (decisions.length > 0) return { decisions };
  const message = `${namesOf(reader)} holds no decision of request ${requestId}${elsewhere(reader)}`;
  return { decisions, problem: notFound(message) };
}

async function newest(reader: DecisionReader): Promise<FoundDecisions> {
  let last: Decision | undefined;
  for await (const { decision } of reader.read())
    if (last === undefined || decision.timestampMs >= last.timestampMs) last = decision;
  if (last !== undefined) return { decisions: [last] };
  const message = `${namesOf(reader)} holds no decision: it has one JSON object per line, written with --router-decision-log when a request has ended`;
  return { decisions: [], problem: notFound(message) };
}

function namesOf({ paths }: DecisionReader): string {
  return paths.join(', ');
}

function elsewhere({ complaint }: DecisionReader): string {
  return complaint === undefined
    ? '; processes that share a log each write their own file, so name the folder to read all'
    : '';
}
