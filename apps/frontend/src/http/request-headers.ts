/** Request headers that mean something here (RF 3.9). A header wins over the same value in the body. */
import type { IncomingHttpHeaders } from 'node:http';

import { DynamoError, asRequestId, createRequestId, tryInstanceId } from '@dynamo-ts/base';
import type { RequestId } from '@dynamo-ts/base';
import { POLICY_CLASS_HEADER, SESSION_HEADER } from '@dynamo-ts/protocol';
import type { RoutingHints } from '@dynamo-ts/protocol';

/** The two ids of a request. */
export interface RequestIds {
  /** Id on all hops: `x-dynamo-request-id` when it is a UUID, else a fresh one. */
  readonly requestId: RequestId;
  /** The client's own `x-request-id`, else the same as {@link requestId}; echoed. */
  readonly clientRequestId: string;
}

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
const VISIBLE_TEXT = /^[\x21-\x7e]{1,256}$/;
const UNSET_RANK = 0xffff_ffff;

/** Chooses the ids of a request. */
export function requestIds(headers: IncomingHttpHeaders): RequestIds {
  const own = headers['x-dynamo-request-id'];
  const requestId = isText(own) && UUID.test(own) ? asRequestId(own) : createRequestId();
  const client = headers['x-request-id'];
  const clientRequestId = isText(client) && VISIBLE_TEXT.test(client) ? client : requestId;
  return { requestId, clientRequestId };
}

/** What headers say about the worker and the order of a request. */
export interface RoutingHeaders extends Partial<RoutingHints> {
  sessionId?: string;
  policyClass?: string;
}

/** Session ids of agents that are known, ours first. */
const SESSION_HEADERS = [SESSION_HEADER, 'x-claude-code-session-id', 'session-id', 'x-session-id'];

/** Routing wishes in headers. @throws `request.invalid` for a malformed number or id */
export function routingHeaders(headers: IncomingHttpHeaders): RoutingHeaders {
  const hints: RoutingHeaders = workerHeaders(headers);
  const priority = first(headers, ['x-dynamo-request-priority']);
  if (priority !== undefined) hints.priority = integer(priority, -0x8000_0000, 0x7fff_ffff);
  const strict = first(headers, ['x-dynamo-request-strict-priority']);
  if (strict !== undefined) hints.strictPriority = integer(strict, 0);
  const tenant = first(headers, ['x-tenant-id']);
  if (tenant !== undefined) hints.cacheSalt = tenant.value;
  const session = first(headers, SESSION_HEADERS);
  if (session !== undefined) hints.sessionId = visible(session);
  const policy = first(headers, [POLICY_CLASS_HEADER]);
  // Node joins repeated headers; the first one counts.
  const policyClass = policy?.value.split(',', 1)[0]?.trim();
  if (policyClass !== undefined && policyClass !== '') hints.policyClass = policyClass;
  return hints;
}

/** Which worker, and which of its ranks. */
function workerHeaders(headers: IncomingHttpHeaders): Partial<RoutingHints> {
  const hints: Partial<RoutingHints> = {};
  const pin = first(headers, ['x-dynamo-worker-instance-id', 'x-worker-instance-id']);
  if (pin !== undefined) hints.backendInstanceId = instanceId(pin);
  const prefill = first(headers, ['x-dynamo-prefill-instance-id', 'x-prefill-instance-id']);
  if (prefill !== undefined) hints.prefillWorkerId = instanceId(prefill);
  const rank = first(headers, ['x-dynamo-dp-rank', 'x-dp-rank', 'x-data-parallel-rank']);
  if (rank !== undefined) setRank(hints, 'dpRank', rank);
  const prefillRank = first(headers, ['x-dynamo-prefill-dp-rank', 'x-prefill-dp-rank']);
  if (prefillRank !== undefined) setRank(hints, 'prefillDpRank', prefillRank);
  return hints;
}

interface Header {
  readonly name: string;
  readonly value: string;
}

function first(headers: IncomingHttpHeaders, names: readonly string[]): Header | undefined {
  for (const name of names) {
    const value = headers[name];
    if (isText(value)) return { name, value };
  }
  return undefined;
}

function isText(value: string | readonly string[] | undefined): value is string {
  return typeof value === 'string' && value !== '';
}

function setRank(
  hints: Partial<RoutingHints>,
  field: 'dpRank' | 'prefillDpRank',
  header: Header,
): void {
  const rank = integer(header, 0);
  if (rank !== UNSET_RANK) hints[field] = rank;
}

function instanceId(header: Header): bigint {
  const id = tryInstanceId(header.value);
  if (id === undefined) throw invalid(header);
  return id;
}

function integer(header: Header, min: number, max = 0xffff_ffff): number {
  const value = Number(header.value);
  if (!Number.isInteger(value) || value < min || value > max) throw invalid(header);
  return value;
}

function visible(header: Header): string {
  if (!VISIBLE_TEXT.test(header.value)) throw invalid(header, 'a text of up to 256 characters');
  return header.value;
}

function invalid(header: Header, expected = 'a number in range'): DynamoError {
  return new DynamoError('request.invalid', `The header ${header.name} must be ${expected}.`, {
    details: { param: header.name },
  });
}
