/** The router's calls by name, the same on the request plane, over gRPC and as JSON over HTTP. */
import { DynamoError } from '@dynamo-ts/base';
import {
  FreeRequest,
  FreeResponse,
  GetDecisionRequest,
  GetDecisionResponse,
  ListDecisionsRequest,
  ListDecisionsResponse,
  ListWorkersRequest,
  ListWorkersResponse,
  OutputBlockRequest,
  OutputBlockResponse,
  OverlapRequest,
  OverlapResponse,
  PotentialLoadsRequest,
  PotentialLoadsResponse,
  PrefillDoneRequest,
  PrefillDoneResponse,
  QueryIndexRequest,
  QueryIndexResponse,
  RegisterWorkerRequest,
  RegisterWorkerResponse,
  RenewRequest,
  RenewResponse,
  RouteRequest,
  RouteResponse,
  UnregisterWorkerRequest,
  UnregisterWorkerResponse,
} from '@dynamo-ts/protocol';

import type { RouterMethodName } from './router-names.ts';
import type { CallOrigin, RouterService } from './router-service.ts';

/** How a message is read and written. */
export interface MessageCodec<T> {
  decode(bytes: Uint8Array): T;
  encode(message: T): { finish(): Uint8Array };
  fromJSON(object: unknown): T;
  toJSON(message: T): unknown;
}

/** One call with one answer, with its message types closed over. */
export interface RouterMethod {
  /** Answers a call whose messages are protobuf bytes. */
  readonly callBytes: (
    service: RouterService,
    payload: Uint8Array,
    origin: CallOrigin,
  ) => Promise<Uint8Array>;
  /** Answers a call whose messages are protobuf's JSON with the field names of the contract. */
  readonly callJson: (
    service: RouterService,
    body: unknown,
    origin: CallOrigin,
  ) => Promise<unknown>;
  /** Answers a call whose messages are decoded. */
  readonly call: (service: RouterService, request: unknown, origin: CallOrigin) => Promise<unknown>;
}

/** What each call does. */
export const ROUTER_METHODS: Readonly<Record<RouterMethodName, RouterMethod>> = {
  free: method(FreeRequest, FreeResponse, (service, request) => {
    service.free(request);
    return {};
  }),
  prefillDone: method(PrefillDoneRequest, PrefillDoneResponse, (service, request) => {
    service.prefillDone(request);
    return {};
  }),
  outputBlock: method(OutputBlockRequest, OutputBlockResponse, (service, request) => {
    service.outputBlock(request);
    return {};
  }),
  renew: method(RenewRequest, RenewResponse, (service, request) => service.renew(request)),
  overlap: method(OverlapRequest, OverlapResponse, (service, request, origin) =>
    service.overlap(request, origin),
  ),
  potentialLoads: method(
    PotentialLoadsRequest,
    PotentialLoadsResponse,
    (service, request, origin) => service.potentialLoads(request, origin),
  ),
  queryIndex: method(QueryIndexRequest, QueryIndexResponse, (service, request, origin) =>
    service.queryIndex(request, origin),
  ),
  getDecision: method(GetDecisionRequest, GetDecisionResponse, (service, request) =>
    service.getDecision(request),
  ),
  listDecisions: method(ListDecisionsRequest, ListDecisionsResponse, (service, request) =>
    service.listDecisions(request),
  ),
  registerWorker: method(
    RegisterWorkerRequest,
    RegisterWorkerResponse,
    async (service, request, origin) => {
      await service.registerWorker(request, origin);
      return {};
    },
  ),
  unregisterWorker: method(
    UnregisterWorkerRequest,
    UnregisterWorkerResponse,
    async (service, request) => {
      await service.unregisterWorker(request);
      return {};
    },
  ),
  listWorkers: method(ListWorkersRequest, ListWorkersResponse, (service, request) =>
    service.listWorkers(request),
  ),
  route: method(RouteRequest, RouteResponse, (service, request, origin) =>
    service.route(request, origin),
  ),
};

function method<Req, Res>(
  requests: MessageCodec<Req>,
  responses: MessageCodec<Res>,
  run: (service: RouterService, request: Req, origin: CallOrigin) => Res | Promise<Res>,
): RouterMethod {
  return {
    callBytes: async (service, payload, origin) =>
      responses.encode(await run(service, decoded(requests, payload), origin)).finish(),
    callJson: async (service, body, origin) =>
      responses.toJSON(await run(service, fromJson(requests, body), origin)),
    // The contract's own decoder made it.
    call: async (service, request, origin) => run(service, request as Req, origin),
  };
}

function decoded<Req>(requests: MessageCodec<Req>, payload: Uint8Array): Req {
  try {
    return requests.decode(payload);
  } catch (error) {
    throw new DynamoError('request.invalid', 'the request is no message of this call', {
      cause: error,
    });
  }
}

function fromJson<Req>(requests: MessageCodec<Req>, body: unknown): Req {
  try {
    return requests.fromJSON(body);
  } catch (error) {
    throw new DynamoError('request.invalid', 'a field of the request has the wrong type', {
      cause: error,
    });
  }
}
