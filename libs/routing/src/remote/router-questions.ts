/** Questions to the replicas of a router service that no request depends on: who cannot answer is passed over. */
import type { InstanceId } from '@dynamo-ts/base';
import {
  GetDecisionRequest,
  GetDecisionResponse,
  ListDecisionsRequest,
  ListDecisionsResponse,
  QueryIndexRequest,
  QueryIndexResponse,
} from '@dynamo-ts/protocol';
import type { Decision } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';

import type { IndexReport } from '../kv/health/index-health.ts';
import type { RouterMethodName } from '../service/router-names.ts';
import type { RouterReplicas } from './router-replicas.ts';

/** A decision by its id; undefined when no replica has it. */
export async function askDecision(
  replicas: RouterReplicas,
  decisionId: string,
): Promise<Decision | undefined> {
  const payload = GetDecisionRequest.encode({ decisionId }).finish();
  const answers = await askAll(replicas, 'getDecision', payload);
  return answers.map((answer) => GetDecisionResponse.decode(answer).decision).find(Boolean);
}

/** The latest decisions of all replicas, newest first. */
export async function askDecisions(
  replicas: RouterReplicas,
  endpoint: string,
  limit: number,
): Promise<readonly Decision[]> {
  const payload = ListDecisionsRequest.encode({ endpoint, limit }).finish();
  const answers = await askAll(replicas, 'listDecisions', payload);
  return answers
    .flatMap((answer) => ListDecisionsResponse.decode(answer).decisions)
    .toSorted((a, b) => b.timestampMs - a.timestampMs)
    .slice(0, limit);
}

/** What one replica's index holds; undefined when none answers. */
export async function askIndexHealth(
  replicas: RouterReplicas,
  endpoint: string,
): Promise<IndexReport | undefined> {
  const payload = QueryIndexRequest.encode(QueryIndexRequest.create({ endpoint })).finish();
  const failed = new Set<InstanceId>();
  for (;;) {
    const replica = replicas.next(failed);
    if (replica === undefined) return undefined;
    try {
      const answer = await replicas.call('queryIndex', replica, payload, new Context());
      return QueryIndexResponse.decode(answer);
    } catch {
      failed.add(replica);
    }
  }
}

async function askAll(
  replicas: RouterReplicas,
  name: RouterMethodName,
  payload: Uint8Array,
): Promise<Uint8Array[]> {
  const asked = replicas.ids().filter((replica) => replicas.isTrusted(replica));
  const answers = await Promise.allSettled(
    asked.map((replica) => replicas.call(name, replica, payload, new Context())),
  );
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
}
