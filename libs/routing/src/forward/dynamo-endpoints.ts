/**
 * The endpoints of the reference's standalone router (RP 5.1): `{namespace}.router.generate`, `….best_worker_id` and
 * `….get_overlap_scores`. The first takes this project's own messages too, told apart by their first byte.
 */
import { asInstanceId } from '@dynamo-ts/base';
import {
  GenerateRequest,
  GenerateResponse,
  OverlapRequest,
  RouteRequest,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { codecHandler, decodePayload, encodePayload } from '@dynamo-ts/runtime';
import type { Context, DistributedRuntime, RawHandler, ServedEndpoint } from '@dynamo-ts/runtime';

import { ROUTER_COMPONENT } from '../service/router-names.ts';
import type { RouterService } from '../service/router-service.ts';
import { overlapScores } from './overlap-scores.ts';
import {
  blocksOf,
  engineOutputOf,
  generateRequestOf,
  overridesOf,
  plainOf,
  textOf,
  tokensOf,
} from './preprocessed-request.ts';
import type { Plain } from './preprocessed-request.ts';
import type { RequestForwarder } from './request-forwarder.ts';
import { answerRouterCall } from './router-protocol.ts';

/** Settings of the endpoints. */
export interface DynamoEndpointsOptions {
  readonly runtime: DistributedRuntime;
  readonly namespace: string;
  readonly service: RouterService;
  readonly forwarder: RequestForwarder;
  /** Endpoint that is meant when a call names none. */
  readonly endpoint: string;
}

/** Header that names another endpoint than the router's own. */
export const ENDPOINT_HEADER = 'dynamo-endpoint';

/** Serves the reference's endpoints. */
export async function serveDynamoEndpoints(
  options: DynamoEndpointsOptions,
): Promise<readonly ServedEndpoint[]> {
  const { runtime, namespace } = options;
  const component = runtime.namespace(namespace).component(ROUTER_COMPONENT);
  const calls = new DynamoCalls(options);
  return [
    await component.endpoint('generate').serveRaw(calls.generate),
    await component
      .endpoint('best_worker_id')
      .serve((request, context) => calls.best(request, context)),
    await component
      .endpoint('get_overlap_scores')
      .serve((request, context) => calls.overlap(request, context)),
  ];
}

/** The endpoint that a call names, or the router's own. */
export function endpointOf({ headers }: Context, own: string): string {
  return headers[ENDPOINT_HEADER] ?? own;
}

class DynamoCalls {
  readonly #options: DynamoEndpointsOptions;
  readonly #plainGenerate: RawHandler;

  constructor(options: DynamoEndpointsOptions) {
    this.#options = options;
    this.#plainGenerate = codecHandler((body: Plain, context) => this.#generate(body, context), {
      decode: (payload) => plainOf(decodePayload(payload)),
      encode: (data) => encodePayload({ data }),
    });
  }

  readonly generate: RawHandler = async (incoming, sink) => {
    if (isMap(incoming.payload)) {
      await this.#plainGenerate(incoming, sink);
      return;
    }
    const { payload, context } = incoming;
    const endpoint = endpointOf(context, this.#options.endpoint);
    const message = GenerateRequest.decode(payload);
    const items = this.#options.forwarder.items(message, payload, { endpoint, context });
    for await (const item of items) if (!sink.write(item)) await sink.drained();
    sink.end();
  };

  async *best(request: unknown, context: Context): AsyncGenerator<bigint> {
    const body = Array.isArray(request) ? { token_ids: request as unknown[] } : plainOf(request);
    const message = RouteRequest.create({
      ...blocksOf(body),
      endpoint: endpointOf(context, this.#options.endpoint),
      advisory: true,
      tokenIdsLe: Buffer.from(tokenIdsToBytes(tokensOf(body['token_ids'], 'token_ids'))),
      cacheSalt: textOf(body['cache_namespace']),
      loraName: textOf(body['lora_name']),
      routerConfigOverride: overridesOf(body['router_config_override']),
    });
    const answer = await this.#options.service.route(message, { context, onRequestPlane: true });
    yield asInstanceId(answer.instanceId);
  }

  async *overlap(request: unknown, context: Context): AsyncGenerator<Plain> {
    const body = plainOf(request);
    const tokenIds = tokensOf(body['token_ids'], 'token_ids');
    overridesOf(body['router_config_override']);
    const endpoint = endpointOf(context, this.#options.endpoint);
    const message = OverlapRequest.create({
      ...blocksOf(body),
      endpoint,
      tokenIdsLe: Buffer.from(tokenIdsToBytes(tokenIds)),
      loraName: textOf(body['lora_name']),
      cacheSalt: textOf(body['cache_namespace']),
    });
    const { workers, blockSize } = await this.#options.service.overlap(message, { context });
    yield overlapScores(workers, blockSize, tokenIds.length);
  }

  async *#generate(body: Plain, context: Context): AsyncGenerator {
    const { service, forwarder } = this.#options;
    const endpoint = endpointOf(context, this.#options.endpoint);
    if (body['method'] !== undefined) {
      const origin = { context, onRequestPlane: true };
      yield await answerRouterCall(body, { service, endpoint, origin });
      return;
    }
    const message = generateRequestOf(body);
    const overrides = overridesOf(body['router_config_override']);
    const payload = GenerateRequest.encode(message).finish();
    for await (const item of forwarder.items(message, payload, { endpoint, context, overrides }))
      yield engineOutputOf(GenerateResponse.decode(item));
  }
}

/** Whether bytes begin as a MessagePack map; no message of ours with a prompt does. */
function isMap(payload: Uint8Array): boolean {
  const first = payload[0] ?? 0;
  return (first >= 0x80 && first <= 0x8f) || first === 0xde || first === 0xdf;
}
