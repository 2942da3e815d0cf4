/**
 * The request plane: opens a request on one chosen instance and carries its answer back.
 *
 * Every backend (in-process, gRPC mux, NATS) passes one contract suite. Guarantees: a failure before `open` resolves is
 * always safe to retry elsewhere; an answer that ends without its end marker fails with `transport.disconnected`; one
 * slow reader stalls only its own request. Payloads are opaque bytes.
 */
import type { DynamoError, InstanceId } from '@dynamo-ts/base';
import type { EndpointPath, Transport } from '@dynamo-ts/protocol';

import type { Context } from '../context.ts';

/**
 * Bytes of an answer that may be on their way to one reader before the server must wait for it. Thousands of tokens, so that
 * nobody waits for it who reads; and what a reader that does not costs its process, besides the text that it was given.
 */
export const DEFAULT_CREDIT_BYTES: number = 64 * 1024;

/** A request as its server sees it. */
export interface IncomingRequest {
  readonly endpoint: EndpointPath;
  /** Stop and kill of the caller; killed with `client-gone` when its connection ends. */
  readonly context: Context;
  readonly payload: Uint8Array;
  /**
   * Aborted when the connection to the caller's process has ended, for state that outlives the request; the same one for
   * all requests of a connection. Undefined when the caller is in this process.
   */
  readonly caller?: AbortSignal | undefined;
}

/** Where a handler puts its answer. Calls after `end` or `fail`, or after a kill, are ignored. */
export interface ResponseSink {
  /** Queues one item. @returns false when the caller's credit is used up: wait for {@link ResponseSink.drained} */
  write(item: Uint8Array): boolean;
  /** Resolves when there is credit again, or the request has been killed. */
  drained(): Promise<void>;
  /** Ends the answer cleanly. */
  end(): void;
  /** Ends the answer with an error. */
  fail(error: unknown): void;
}

/**
 * Handles one request by writing to its sink. It returns at once or when it is done; either way it must end or fail the
 * sink. A throw before it first waits or writes rejects the request, a later one fails its answer.
 */
export type RawHandler = (request: IncomingRequest, sink: ResponseSink) => void | Promise<void>;

/** A handler that is being served. */
export interface ServedTransport {
  /** Address to publish in the instance record. */
  readonly transport: Transport;
  /** Refuses new requests; those that run go on. Idempotent. */
  refuse(): void;
  /** Resolves when no request runs. */
  idle(): Promise<void>;
  /** Kills what still runs and stops serving. Idempotent. */
  close(): Promise<void>;
}

/** Told what goes wrong with requests where their handler cannot see it. */
export interface ServeObserver {
  /** A request broke the protocol and was rejected before its handler saw it. */
  messageInvalid(): void;
  /** The handler had ended its answer, and the connection ended before the rest of it could be sent. */
  endUnsent(): void;
}

/** Settings of one served endpoint. */
export interface ServeOptions {
  readonly endpoint: EndpointPath;
  readonly instanceId: InstanceId;
  /** Model that the endpoint serves, for callers that name one; undefined when it is not known. */
  readonly model?: string | undefined;
  readonly observer?: ServeObserver | undefined;
}

/** Where a request goes. */
export interface RequestTarget {
  readonly endpoint: EndpointPath;
  readonly instanceId: InstanceId;
  readonly transport: Transport;
}

/** What a request carries. */
export interface OutgoingRequest {
  readonly payload: Uint8Array;
  /** Its headers travel along; its stop and kill reach the server. */
  readonly context: Context;
  /** Called once when the accepted answer has ended, failed or been cancelled, however slowly it is read. */
  readonly onSettled?: (error: DynamoError | undefined) => void;
}

/** An accepted request's answer, read by one consumer. */
export interface RawResponse extends AsyncIterable<Uint8Array> {
  /**
   * The items that have arrived since the last call, waiting for at least one; undefined at the clean end.
   * What arrived together comes together, up to a bound, so that a reader can write it together.
   *
   * @throws `transport.disconnected` when the connection ends early, the server's error when it failed
   */
  nextBatch(): Promise<readonly Uint8Array[] | undefined>;
  /** Drops the rest of the answer and kills the request on the server; a reader gets `error`. Idempotent. */
  cancel(error?: DynamoError): void;
}

/** A request-plane backend. */
export interface RequestPlane extends AsyncDisposable {
  readonly backend: 'grpc' | 'nats' | 'local';
  /** Starts serving an endpoint of this process. */
  serve(options: ServeOptions, handler: RawHandler): Promise<ServedTransport>;
  /**
   * Opens a request; resolves when the server has accepted it.
   *
   * @throws `transport.cannot_connect`, `transport.timeout`, or the server's rejection, all safe to retry elsewhere
   */
  open(target: RequestTarget, request: OutgoingRequest): Promise<RawResponse>;
  /** Resolves when the instance can be reached (again); used before an inhibited instance returns. */
  reachable(target: RequestTarget, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Closes all connections. Idempotent. */
  close(): Promise<void>;
}
