/** Request headers that mean something here (RF 3.9). A header wins over the same value in the body. */
import type { IncomingHttpHeaders } from 'node:http';

import { DynamoError, asRequestId, createRequestId, tryInstanceId } from '@dynamo-ts/base';
import type { RequestId } from '@dynamo-ts/base';
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

/** Routing wishes in headers. @throws `request.invalid` for a malformed number */
export function routingHeaders(headers: IncomingHttpHeaders): Partial<RoutingHints> {
  const hints: Partial<RoutingHints> = {};
  const pin = first(headers, ['x-dynamo-worker-instance-id', 'x-worker-instance-id']);
  if (pin !== undefined) hints.backendInstanceId = instanceId(pin);
  const prefill = first(headers, ['x-dynamo-prefill-instance-id', 'x-prefill-instance-id']);
  if (prefill !== undefined) hints.prefillWorkerId = instanceId(prefill);
  const rank = first(headers, ['x-dynamo-dp-rank', 'x-dp-rank', 'x-data-parallel-rank']);
  if (rank !== undefined) setRank(hints, 'dpRank', rank);
  const prefillRank = first(headers, ['x-dynamo-prefill-dp-rank', 'x-prefill-dp-rank']);
  if (prefillRank !== undefined) setRank(hints, 'prefillDpRank', prefillRank);
  const priority = first(headers, ['x-dynamo-request-priority']);
  if (priority !== undefined) hints.priority = integer(priority, -0x8000_0000);
  const strict = first(headers, ['x-dynamo-request-strict-priority']);
  if (strict !== undefined) hints.strictPriority = integer(strict, 0);
  const tenant = first(headers, ['x-tenant-id']);
  if (tenant !== undefined) hints.cacheSalt = tenant.value;
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

function integer(header: Header, min: number): number {
  const value = Number(header.value);
  if (!Number.isInteger(value) || value < min || value > 0xffff_ffff) throw invalid(header);
  return value;
}

function invalid(header: Header): DynamoError {
  return new DynamoError('request.invalid', `The header ${header.name} is not a valid number.`, {
    details: { param: header.name },
  });
}
