/**
 * The router as a way to the workers (RP 5.1): a request for an endpoint is placed, sent to the worker and its answer
 * passed on as it is, with the retries before the first token that every dispatcher makes.
 */
import { asInstanceId } from '@dynamo-ts/base';
import { computeBlockHashForSeq } from '@dynamo-ts/kv';
import type { GenerateRequest, RoutingHints } from '@dynamo-ts/protocol';
import {
  FinishReason,
  GenerateResponse,
  POLICY_CLASS_HEADER,
  SESSION_HEADER,
  tokenIdsFromBytes,
  wantsPlaceOnly,
} from '@dynamo-ts/protocol';
import type { Client, Context, DistributedRuntime } from '@dynamo-ts/runtime';
import type { Logger, MetricsRegistry, Tracer } from '@dynamo-ts/telemetry';

import type { DispatchedStream } from '../booked-stream.ts';
import { Dispatcher } from '../dispatcher.ts';
import type { DispatchRequest } from '../dispatcher.ts';
import type { PlacementWishes, RouterConfigOverride } from '../placement-router.ts';
import type { EndpointRouter } from '../service/endpoint-router.ts';
import { checkWidth } from '../service/route-message.ts';
import type { RouterService } from '../service/router-service.ts';
import { workerIds } from '../worker-ids.ts';

/** Settings of a {@link RequestForwarder}. */
export interface RequestForwarderOptions {
  readonly runtime: DistributedRuntime;
  readonly service: RouterService;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  readonly tracer?: Tracer | undefined;
  /** Longest silence of a worker in milliseconds; 0 = no limit. @default 0 */
  readonly streamTimeoutMs?: number | undefined;
}

/** A request to pass on. */
export interface ForwardedRequest {
  /** `namespace.component.endpoint`. */
  readonly endpoint: string;
  readonly context: Context;
  /** Weights of the cost for this request. */
  readonly overrides?: RouterConfigOverride | undefined;
}

interface Way {
  readonly client: Client;
  readonly dispatcher: Dispatcher;
}

/** Sends requests to the workers that the service's routers choose. */
export class RequestForwarder implements AsyncDisposable {
  readonly #options: RequestForwarderOptions;
  readonly #ways = new Map<EndpointRouter, Promise<Way>>();

  constructor(options: RequestForwarderOptions) {
    this.#options = options;
  }

  /**
   * Resolves with the answer when its first batch is there.
   *
   * @throws as `Dispatcher.dispatch`; `request.invalid`
   */
  async dispatch(
    message: GenerateRequest,
    payload: Uint8Array,
    forwarded: ForwardedRequest,
  ): Promise<DispatchedStream> {
    const { dispatcher, request } = await this.#prepare(message, payload, forwarded);
    return dispatcher.dispatch(request);
  }

  /**
   * The items of an answer, each an encoded `GenerateResponse`; ends the request when the reader does. A request with the
   * annotation `query_instance_id` is not sent to a worker: the one item says where it would go (RP 4.8).
   */
  async *items(
    message: GenerateRequest,
    payload: Uint8Array,
    request: ForwardedRequest,
  ): AsyncGenerator<Uint8Array> {
    if (wantsPlaceOnly(message.annotations)) {
      yield await this.#advise(message, payload, request);
      return;
    }
    const stream = await this.dispatch(message, payload, request);
    let isOver = false;
    try {
      for (;;) {
        const batch = await stream.nextBatch();
        if (batch === undefined) break;
        for (const item of batch) reportUsage(stream, item);
        yield* batch;
      }
      isOver = true;
    } finally {
      if (!isOver) stream.cancel();
    }
  }

  /** Lets go of the workers. Idempotent. */
  async close(): Promise<void> {
    const ways = await Promise.allSettled(this.#ways.values());
    this.#ways.clear();
    for (const way of ways) if (way.status === 'fulfilled') await way.value.client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #prepare(
    message: GenerateRequest,
    payload: Uint8Array,
    { endpoint, context, overrides }: ForwardedRequest,
  ): Promise<{ readonly dispatcher: Dispatcher; readonly request: DispatchRequest }> {
    checkWidth('token_ids_le', message.tokenIdsLe, 4);
    const { service } = this.#options;
    const { model } = message;
    const router = await service.endpoints.open(endpoint, {
      model,
      anyBlocks: true,
      signal: context.killed,
    });
    const { dispatcher } = await this.#way(endpoint, router);
    const excluded = service.unusable({ endpoint, model }, router);
    const { wishes, ...prompt } = placed(message, router.blockSize);
    const request = {
      ...prompt,
      payload,
      context,
      excluded,
      wishes: { ...wishes, ...headerWishes(context), overrides },
    };
    return { dispatcher, request };
  }

  async #advise(
    message: GenerateRequest,
    payload: Uint8Array,
    forwarded: ForwardedRequest,
  ): Promise<Uint8Array> {
    const { dispatcher, request } = await this.#prepare(message, payload, forwarded);
    const placement = await dispatcher.advise(request);
    const choice = {
      worker_id: workerIds(placement),
      token_ids: [...tokenIdsFromBytes(message.tokenIdsLe)],
    };
    const item = GenerateResponse.create({
      finishReason: FinishReason.FINISH_REASON_STOP,
      transferParamsJson: JSON.stringify(choice),
    });
    return GenerateResponse.encode(item).finish();
  }

  #way(endpoint: string, router: EndpointRouter): Promise<Way> {
    const known = this.#ways.get(router);
    if (known !== undefined) return known;
    const opening = this.#openWay(endpoint, router);
    this.#ways.set(router, opening);
    opening.catch(() => this.#ways.delete(router));
    return opening;
  }

  async #openWay(endpoint: string, router: EndpointRouter): Promise<Way> {
    const { runtime, service: _service, ...settings } = this.#options;
    const client = await runtime.endpoint(endpoint).client();
    return { client, dispatcher: new Dispatcher({ ...settings, workers: client, router }) };
  }
}

/** What a request says about its place. */
function placed(
  message: GenerateRequest,
  blockSize: number,
): Omit<DispatchRequest, 'payload' | 'context'> & { readonly wishes: PlacementWishes } {
  const { routing } = message;
  const tokenIds = tokenIdsFromBytes(message.tokenIdsLe);
  const pinned = routing?.backendInstanceId ?? routing?.decodeWorkerId;
  return {
    blockHashes: computeBlockHashForSeq(tokenIds, blockSize, {
      loraName: routing?.loraName,
      cacheNamespace: routing?.cacheSalt,
    }),
    blockSize,
    promptTokens: tokenIds.length,
    pinned: pinned === undefined ? undefined : asInstanceId(pinned),
    wishes: {
      model: message.model === '' ? undefined : message.model,
      ...hintedWishes(routing),
    },
  };
}

function hintedWishes(routing: RoutingHints | undefined): PlacementWishes {
  if (routing === undefined) return {};
  return {
    pinnedRank: routing.dpRank,
    // A negative priority is the engine's business.
    priorityJump: Math.max(0, routing.priority ?? 0),
    strictPriority: routing.strictPriority,
    expectedOutputTokens: routing.expectedOutputTokens,
  };
}

/** What the public endpoint's headers say and the message has no field for. */
function headerWishes({ headers }: Context): Pick<PlacementWishes, 'sessionId' | 'policyClass'> {
  return { sessionId: headers[SESSION_HEADER], policyClass: headers[POLICY_CLASS_HEADER] };
}

/** The engine's own count of cached tokens belongs into the record of the decision. */
function reportUsage(stream: DispatchedStream, item: Uint8Array): void {
  const cachedTokens = GenerateResponse.decode(item).usage?.cachedTokens;
  if (cachedTokens !== undefined) stream.report({ cachedTokens });
}
