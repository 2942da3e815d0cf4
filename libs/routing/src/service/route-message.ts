/** Placement requests and outcomes as messages, in both directions. */
import { DynamoError, asInstanceId, toDynamoError } from '@dynamo-ts/base';
import { computeBlockHashForSeq } from '@dynamo-ts/kv';
import type { PromptQuery } from '@dynamo-ts/kv';
import {
  RequestOutcome as OutcomeMessage,
  RouteRequest,
  RouteResponse,
  hashesFromBytes,
  hashesToBytes,
  tokenIdsFromBytes,
} from '@dynamo-ts/protocol';

import type {
  Placement,
  PlacementRequest,
  PlacementWishes,
  RequestOutcome,
  RouterConfigOverride,
} from '../placement-router.ts';
import { parseRouterMode } from '../router-mode.ts';
import type { RouterMode } from '../router-mode.ts';

/** The fields by which messages name a prompt. */
export interface PromptMessage {
  readonly blockHashesLe: Uint8Array;
  readonly tokenIdsLe: Uint8Array;
  readonly loraName: string;
  readonly cacheSalt: string;
}

/** A prompt to look up. @throws `request.invalid` for torn arrays */
export function promptQuery(message: PromptMessage): PromptQuery {
  const { blockHashesLe, tokenIdsLe, loraName, cacheSalt } = message;
  checkWidth('block_hashes_le', blockHashesLe, 8);
  checkWidth('token_ids_le', tokenIdsLe, 4);
  return blockHashesLe.byteLength > 0
    ? { blockHashes: hashesFromBytes(blockHashesLe) }
    : { tokenIds: tokenIdsFromBytes(tokenIdsLe), loraName, salt: cacheSalt };
}

/**
 * What a message asks for; prompts that came as tokens are hashed here.
 *
 * @throws `request.invalid` for what cannot be
 */
export function placementRequest(message: RouteRequest, blockSize: number): PlacementRequest {
  if (message.requestId === '' && !message.advisory)
    throw new DynamoError('request.invalid', 'request_id is empty: a booking needs a name');
  const { pinnedInstanceId } = message;
  const { tokenIds, ...hashed } = promptQuery(message);
  // Hashes are of the caller's blocks; what is hashed here is hashed as the router counts.
  const size = tokenIds === undefined && message.blockSize > 0 ? message.blockSize : blockSize;
  const hashes =
    tokenIds === undefined
      ? { blockHashes: hashed.blockHashes ?? new BigUint64Array() }
      : hashesOf(tokenIds, blockSize, message);
  return {
    ...wishesOf(message),
    ...hashes,
    bookingId: message.requestId,
    blockSize: size,
    promptTokens: promptTokensOf(message, size),
    excluded: new Set(message.excludedInstanceIds.map(asInstanceId)),
    pinned: pinnedInstanceId === undefined ? undefined : asInstanceId(pinnedInstanceId),
    mode: requestedMode(message.routerMode),
    advisory: message.advisory,
  };
}

/** Length of a prompt; of one that came as hashes without a length, that of its complete blocks. */
export function promptTokensOf(
  message: PromptMessage & { readonly promptTokens: number },
  blockSize: number,
): number {
  const { promptTokens, blockHashesLe, tokenIdsLe } = message;
  if (promptTokens > 0) return promptTokens;
  return blockHashesLe.byteLength > 0
    ? (blockHashesLe.byteLength / 8) * blockSize
    : tokenIdsLe.byteLength / 4;
}

function hashesOf(
  tokenIds: Uint32Array,
  blockSize: number,
  { loraName, cacheSalt: cacheNamespace }: PromptMessage,
): Pick<PlacementRequest, 'blockHashes' | 'hashingMs'> {
  const startMs = performance.now();
  const blockHashes = computeBlockHashForSeq(tokenIds, blockSize, { loraName, cacheNamespace });
  return { blockHashes, hashingMs: performance.now() - startMs };
}

/** The message of a request. */
export function routeMessage(
  request: PlacementRequest,
  extra: Pick<RouteRequest, 'endpoint' | 'excludedInstanceIds' | 'ownerId' | 'leaseMs'>,
): RouteRequest {
  return RouteRequest.create({
    ...extra,
    requestId: request.bookingId,
    blockHashesLe: Buffer.from(hashesToBytes(request.blockHashes)),
    blockSize: request.blockSize,
    promptTokens: request.promptTokens,
    pinnedInstanceId: request.pinned,
    pinnedDpRank: request.pinnedRank,
    allowedInstanceIds: [...(request.allowed ?? [])],
    routerConfigOverride: request.overrides,
    advisory: request.advisory ?? false,
    routerMode: request.mode ?? '',
    priorityJump: request.priorityJump ?? 0,
    strictPriority: request.strictPriority ?? 0,
    expectedOutputTokens: request.expectedOutputTokens,
    model: request.model ?? '',
    sessionId: request.sessionId ?? '',
    policyClass: request.policyClass ?? '',
    requiredTaints: [...(request.requiredTaints ?? [])],
    preferredTaints: [...(request.preferredTaints ?? [])],
  });
}

/** The message of a choice. */
export function placementMessage(placement: Placement): RouteResponse {
  return RouteResponse.create({
    ...placement,
    overlapBlocks: Math.floor(placement.overlapBlocks),
    decisionId: placement.decisionId ?? '',
  });
}

/** The choice that a message tells. */
export function placementOf(message: RouteResponse): Placement {
  const { instanceId, decisionId, ...rest } = message;
  return {
    ...rest,
    instanceId: asInstanceId(instanceId),
    decisionId: decisionId === '' ? undefined : decisionId,
  };
}

/** The message of an outcome. */
export function outcomeMessage(outcome: RequestOutcome | undefined): OutcomeMessage | undefined {
  return outcome && OutcomeMessage.create({ ...outcome, errorCode: outcome.errorCode ?? '' });
}

/** The outcome that a message tells; undefined when it tells none. @throws `request.invalid` for an unknown kind */
export function outcomeOf(message: OutcomeMessage | undefined): RequestOutcome | undefined {
  if (message === undefined) return undefined;
  const { kind, errorCode, ...rest } = message;
  if (kind !== 'completed' && kind !== 'cancelled' && kind !== 'failed') {
    throw new DynamoError(
      'request.invalid',
      `outcome kind ${JSON.stringify(kind)} is none of completed, cancelled, failed`,
    );
  }
  return { ...rest, kind, errorCode: errorCode === '' ? undefined : errorCode };
}

function wishesOf(message: RouteRequest): PlacementWishes {
  const { allowedInstanceIds: allowed, priorityJump } = message;
  if (!Number.isFinite(priorityJump))
    throw new DynamoError('request.invalid', 'priority_jump is not a number');
  const odd = message.preferredTaints.find(({ weight }) => !Number.isFinite(weight));
  if (odd !== undefined)
    throw new DynamoError('request.invalid', 'preferred_taints: a weight is not a number');
  return {
    pinnedRank: message.pinnedDpRank,
    allowed: allowed.length === 0 ? undefined : new Set(allowed.map(asInstanceId)),
    overrides: message.routerConfigOverride && checkedOverrides(message.routerConfigOverride),
    priorityJump,
    strictPriority: message.strictPriority,
    expectedOutputTokens: message.expectedOutputTokens,
    model: message.model === '' ? undefined : message.model,
    sessionId: message.sessionId === '' ? undefined : message.sessionId,
    policyClass: message.policyClass === '' ? undefined : message.policyClass,
    requiredTaints: message.requiredTaints,
    preferredTaints: message.preferredTaints,
  };
}

/** As in the contract. */
function fieldName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Weights that can be. @throws `request.invalid` */
export function checkedOverrides(overrides: RouterConfigOverride): RouterConfigOverride {
  for (const [name, value] of Object.entries(overrides)) {
    if (typeof value === 'number' && !(Number.isFinite(value) && value >= 0)) {
      throw new DynamoError(
        'request.invalid',
        `router_config_override: ${fieldName(name)} must be a number from 0, not ${value}`,
      );
    }
  }
  return overrides;
}

function requestedMode(text: string): RouterMode | undefined {
  if (text === '') return undefined;
  try {
    return parseRouterMode(text);
  } catch (error) {
    // What is a wrong configuration here is a wrong request when a peer sends it.
    throw new DynamoError('request.invalid', toDynamoError(error).message, { cause: error });
  }
}

/** Refuses arrays that end within an element. @throws `request.invalid` */
export function checkWidth(field: string, bytes: Uint8Array, width: number): void {
  if (bytes.byteLength % width === 0) return;
  throw new DynamoError(
    'request.invalid',
    `${field} has ${bytes.byteLength} bytes, which is no multiple of ${width}`,
  );
}
