/** The reference's older router calls, told apart by `method` (RP 2.2). */
import { DynamoError } from '@dynamo-ts/base';
import {
  FreeRequest,
  PotentialLoadsRequest,
  PrefillDoneRequest,
  RouteRequest,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';

import type { CallOrigin, RouterService } from '../service/router-service.ts';
import { blocksOf, textOf, tokensOf } from './preprocessed-request.ts';
import type { Plain } from './preprocessed-request.ts';

/** What a call needs. */
export interface ProtocolCall {
  readonly service: RouterService;
  readonly endpoint: string;
  readonly origin: CallOrigin;
}

/** Answers one call. @throws `request.invalid` for an unknown method, and what placement throws */
export async function answerRouterCall(body: Plain, call: ProtocolCall): Promise<Plain> {
  switch (body['method']) {
    case 'new':
      return place(body, call);
    case 'potential_loads':
      return potentialLoads(body, call);
    case 'mark_prefill':
      call.service.prefillDone(PrefillDoneRequest.create(nameOf(body, call)));
      return { method: 'prefill_marked', success: true };
    case 'mark_free':
      call.service.free(FreeRequest.create(nameOf(body, call)));
      return { method: 'free_marked', success: true };
    default: {
      const method = JSON.stringify(body['method']);
      throw new DynamoError(
        'request.invalid',
        `method ${method} is none of new, potential_loads, mark_prefill, mark_free`,
      );
    }
  }
}

async function place(body: Plain, call: ProtocolCall): Promise<Plain> {
  const { service, origin } = call;
  const request = RouteRequest.create({
    ...blocksOf(body),
    ...nameOf(body, call),
    tokenIdsLe: tokenBytes(body),
    loraName: textOf(body['lora_name']),
    cacheSalt: textOf(body['cache_namespace']),
    priorityJump: Number(body['priority_jump'] ?? 0),
    strictPriority: Number(body['strict_priority'] ?? 0),
  });
  const { instanceId, dpRank, overlapBlocks } = await service.route(request, origin);
  const worker = { worker_id: instanceId, dp_rank: dpRank ?? 0 };
  return { method: 'new', ...worker, overlap_blocks: overlapBlocks };
}

async function potentialLoads(body: Plain, call: ProtocolCall): Promise<Plain> {
  const { service, endpoint, origin } = call;
  const request = PotentialLoadsRequest.create({
    ...blocksOf(body),
    endpoint,
    tokenIdsLe: tokenBytes(body),
    loraName: textOf(body['lora_name']),
    cacheSalt: textOf(body['cache_namespace']),
  });
  const { loads, pendingCount, pendingIslTokens } = await service.potentialLoads(request, origin);
  return {
    method: 'potential_loads',
    loads: loads.map((load) => ({
      worker_id: load.workerId,
      dp_rank: load.dpRank,
      potential_prefill_tokens: Number(load.potentialPrefillTokens),
      potential_decode_blocks: load.potentialDecodeBlocks,
      active_requests: load.activeRequests,
    })),
    pending_count: pendingCount,
    pending_isl_tokens: Number(pendingIslTokens),
  };
}

/** A call that names no request concerns the one that it came with. */
function nameOf(
  body: Plain,
  { endpoint, origin }: ProtocolCall,
): { readonly endpoint: string; readonly requestId: string } {
  const requestId = textOf(body['request_id']);
  return { endpoint, requestId: requestId === '' ? origin.context.id : requestId };
}

function tokenBytes(body: Plain): Buffer {
  return Buffer.from(tokenIdsToBytes(tokensOf(body['tokens'] ?? body['token_ids'], 'tokens')));
}
