/** A client of the public gRPC port, as grpcurl or a program in another language is one; for tests. */
import { Metadata, credentials } from '@grpc/grpc-js';
import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';

import {
  EngineServiceClient,
  GenerateRequest,
  RouterServiceClient,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import type {
  FreeRequest,
  FreeResponse,
  GenerateResponse,
  GetDecisionRequest,
  GetDecisionResponse,
  ListDecisionsRequest,
  ListDecisionsResponse,
  ListWorkersRequest,
  ListWorkersResponse,
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
  RouterServiceSubscribeResponse,
  UnregisterWorkerRequest,
  UnregisterWorkerResponse,
} from '@dynamo-ts/protocol';

type Unary<Req, Res> = (
  request: Req,
  metadata: Metadata,
  callback: (error: ServiceError | null, answer: Res) => void,
) => unknown;

/** Calls with one answer: their request and answer. */
interface Calls {
  readonly route: readonly [RouteRequest, RouteResponse];
  readonly prefillDone: readonly [PrefillDoneRequest, PrefillDoneResponse];
  readonly free: readonly [FreeRequest, FreeResponse];
  readonly renew: readonly [RenewRequest, RenewResponse];
  readonly overlap: readonly [OverlapRequest, OverlapResponse];
  readonly potentialLoads: readonly [PotentialLoadsRequest, PotentialLoadsResponse];
  readonly queryIndex: readonly [QueryIndexRequest, QueryIndexResponse];
  readonly getDecision: readonly [GetDecisionRequest, GetDecisionResponse];
  readonly listDecisions: readonly [ListDecisionsRequest, ListDecisionsResponse];
  readonly registerWorker: readonly [RegisterWorkerRequest, RegisterWorkerResponse];
  readonly unregisterWorker: readonly [UnregisterWorkerRequest, UnregisterWorkerResponse];
  readonly listWorkers: readonly [ListWorkersRequest, ListWorkersResponse];
}

/** Calls one router. */
export class GrpcCaller implements Disposable {
  readonly router: RouterServiceClient;
  readonly engine: EngineServiceClient;

  constructor(port: number | undefined) {
    const address = `127.0.0.1:${port}`;
    this.router = new RouterServiceClient(address, credentials.createInsecure());
    this.engine = new EngineServiceClient(address, credentials.createInsecure());
  }

  /** One call with one answer. */
  async ask<Name extends keyof Calls>(
    name: Name,
    request: Calls[Name][0],
  ): Promise<Calls[Name][1]> {
    // The generated client has three overloads of each method.
    const method = this.router[name] as unknown as Unary<Calls[Name][0], Calls[Name][1]>;
    return new Promise((resolve, reject) => {
      method.call(this.router, request, new Metadata(), (error, answer) => {
        if (error === null) resolve(answer);
        else reject(error);
      });
    });
  }

  /** Decisions from now on, collected in a list. */
  subscribe(endpoint: string): {
    readonly decisions: RouterServiceSubscribeResponse[];
    readonly call: ClientReadableStream<RouterServiceSubscribeResponse>;
  } {
    const decisions: RouterServiceSubscribeResponse[] = [];
    const call = this.router.subscribe({ endpoint, immediately: false });
    call.on('data', (decision: RouterServiceSubscribeResponse) => decisions.push(decision));
    call.on('error', () => undefined);
    return { decisions, call };
  }

  /** Every item of an answer. */
  async generate(tokenIds: Uint32Array, endpoint?: string): Promise<GenerateResponse[]> {
    const metadata = new Metadata();
    if (endpoint !== undefined) metadata.set('dynamo-endpoint', endpoint);
    const request = GenerateRequest.create({ tokenIdsLe: Buffer.from(tokenIdsToBytes(tokenIds)) });
    const items: GenerateResponse[] = [];
    const call: AsyncIterable<GenerateResponse> = this.engine.generate(request, metadata);
    for await (const item of call) items.push(item);
    return items;
  }

  [Symbol.dispose](): void {
    this.router.close();
    this.engine.close();
  }
}
