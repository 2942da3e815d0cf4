/**
 * The routers of the endpoints that are asked for, opened once and kept: one per endpoint and block size, because models
 * whose blocks differ run on workers of their own, as in `SharedRouters`.
 *
 * The first router of an endpoint needs a block size. A caller that names one opens it at once; otherwise it opens when
 * the first worker has said its block size, and calls for it wait a while for that. A further one opens when a caller
 * names another size.
 */
import {
  AbortReasonError,
  DynamoError,
  deadlineSignal,
  raceAbort,
  toDynamoError,
} from '@dynamo-ts/base';
import { formatEndpointPath, parseEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';

import type { EndpointRouter } from './endpoint-router.ts';

/** What is known when a router is opened. */
export interface OpenRouterOptions {
  /** Resolves when a caller has named a block size. */
  readonly blockSize: Promise<number>;
  /** Aborted when nobody wants the router any more. */
  readonly signal: AbortSignal;
}

/** Makes the router of an endpoint; resolves when it can be asked. */
export type OpenEndpointRouter = (
  path: EndpointPath,
  options: OpenRouterOptions,
) => Promise<EndpointRouter>;

/** A router that is open. */
export interface RoutedEndpoint {
  /** `namespace.component.endpoint`. */
  readonly name: string;
  readonly router: EndpointRouter;
}

/** What a call for an endpoint says. */
export interface EndpointCall {
  /** 0 when it says none: the first router will do. @default 0 */
  readonly blockSize?: number | undefined;
  /** Gives up waiting. */
  readonly signal?: AbortSignal | undefined;
}

/** Settings of {@link RoutedEndpoints}. */
export interface RoutedEndpointsOptions {
  readonly open: OpenEndpointRouter;
  /** Tokens per block of every router, whatever callers name: then each endpoint has one. @default as callers and workers say */
  readonly blockSize?: number | undefined;
}

interface Opening {
  readonly router: Promise<EndpointRouter>;
  readonly blockSize: PromiseWithResolvers<number>;
  readonly abort: AbortController;
  /** Stays although nobody has said a block size yet. */
  isKept: boolean;
  /** Calls that wait for it. */
  waiting: number;
}

/** Routers: a caller that makes up endpoint names or block sizes must not make the process grow. */
const MOST_ENDPOINTS = 64;

/** How long a call waits for the first worker of an endpoint. */
const WAIT_MS = 3000;

/** The routers of a service by endpoint and block size. */
export class RoutedEndpoints implements AsyncDisposable {
  readonly #options: RoutedEndpointsOptions;
  /** By {@link keyOf}. */
  readonly #openings = new Map<string, Opening>();
  readonly #opened = new Map<string, RoutedEndpoint>();
  readonly #listeners = new Set<(endpoint: RoutedEndpoint) => void>();
  #closing: Promise<void> | undefined;

  constructor(options: RoutedEndpointsOptions) {
    this.#options = options;
  }

  /** Those that are open; of an endpoint, the first one first. */
  all(): readonly RoutedEndpoint[] {
    return [...this.#opened.values()];
  }

  /** The first router of an endpoint if it is open. */
  tryGet(endpoint: string): EndpointRouter | undefined {
    return this.#opened.get(keyOf(endpoint))?.router;
  }

  /** Those of an endpoint that are open. A booking is known to one of them; to the others its id is unknown. */
  routersOf(endpoint: string): readonly EndpointRouter[] {
    return this.all()
      .filter(({ name }) => name === endpoint)
      .map(({ router }) => router);
  }

  /**
   * Keeps a router for an endpoint from now on, whenever its first worker comes. @returns the router, once it is open
   *
   * @throws `request.invalid`
   */
  prepare(endpoint: string): Promise<EndpointRouter> {
    const opening = this.#opening(keyOf(endpoint), endpoint);
    opening.isKept = true;
    return opening.router;
  }

  /**
   * The router of an endpoint whose blocks have the size that the call names, opening it when it is the first time.
   *
   * @throws `request.invalid` for a name that is none, or one more router than a service takes; `backend.unavailable`
   * when neither the call nor a worker says a block size
   */
  async open(endpoint: string, call: EndpointCall = {}): Promise<EndpointRouter> {
    const blockSize = this.#options.blockSize === undefined ? (call.blockSize ?? 0) : 0;
    const first = await this.#reach(keyOf(endpoint), endpoint, { ...call, blockSize });
    if (blockSize === 0 || first.blockSize === blockSize) return first;
    return this.#reach(keyOf(endpoint, blockSize), endpoint, { ...call, blockSize });
  }

  /** Calls `listener` for every router that is open and every later one. @returns an unsubscribe */
  onOpened(listener: (endpoint: RoutedEndpoint) => void): () => void {
    this.#listeners.add(listener);
    for (const endpoint of this.all()) listener(endpoint);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Closes every router. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #reach(key: string, endpoint: string, call: EndpointCall): Promise<EndpointRouter> {
    const opened = this.#opened.get(key);
    if (opened !== undefined) return opened.router;
    const opening = this.#opening(key, endpoint);
    const { blockSize = 0, signal } = call;
    if (blockSize > 0) opening.blockSize.resolve(blockSize);
    const deadline = deadlineSignal(WAIT_MS, signal);
    opening.waiting += 1;
    try {
      return await raceAbort(opening.router, deadline);
    } catch (error) {
      if (!deadline.aborted || signal?.aborted === true) throw error;
      const message = `${endpoint} has no worker that has said its block size; name it in block_size, or retry later`;
      throw new DynamoError('backend.unavailable', message);
    } finally {
      opening.waiting -= 1;
      if (opening.waiting === 0 && !opening.isKept && !this.#opened.has(key))
        this.#giveUp(key, opening);
    }
  }

  #opening(key: string, endpoint: string): Opening {
    const known = this.#openings.get(key);
    if (known !== undefined) return known;
    if (this.#closing !== undefined)
      throw new DynamoError('runtime.closed', 'the router service is closed');
    const path = requestedPath(endpoint);
    if (this.#openings.size >= MOST_ENDPOINTS) {
      throw new DynamoError(
        'request.invalid',
        `this router already serves ${MOST_ENDPOINTS} endpoints and block sizes and takes no further one`,
      );
    }
    const abort = new AbortController();
    const blockSize = Promise.withResolvers<number>();
    const router = this.#open(key, path, { blockSize: blockSize.promise, signal: abort.signal });
    const opening: Opening = { router, blockSize, abort, isKept: false, waiting: 0 };
    this.#openings.set(key, opening);
    router.catch(() => this.#forget(key, opening));
    return opening;
  }

  /** Nobody waits for it any more. */
  #giveUp(key: string, opening: Opening): void {
    this.#forget(key, opening);
    opening.abort.abort(new AbortReasonError('superseded'));
  }

  #forget(key: string, opening: Opening): void {
    if (this.#openings.get(key) === opening) this.#openings.delete(key);
  }

  async #open(
    key: string,
    path: EndpointPath,
    options: OpenRouterOptions,
  ): Promise<EndpointRouter> {
    const router = await this.#options.open(path, options);
    const endpoint = { name: formatEndpointPath(path), router };
    this.#opened.set(key, endpoint);
    for (const listener of this.#listeners) listener(endpoint);
    return router;
  }

  async #close(): Promise<void> {
    const openings = [...this.#openings.values()];
    for (const { abort } of openings) abort.abort(new AbortReasonError('shutdown'));
    await Promise.allSettled(openings.map(({ router }) => router));
    await Promise.all(this.all().map(({ router }) => router.close()));
    this.#opened.clear();
    this.#openings.clear();
  }
}

/** Of a router; without a block size that of the first one. No endpoint's name, however odd, makes two of them equal. */
function keyOf(endpoint: string, blockSize = 0): string {
  return `${blockSize} ${endpoint}`;
}

function requestedPath(endpoint: string): EndpointPath {
  try {
    const path = parseEndpointPath(endpoint);
    if (formatEndpointPath(path) === endpoint) return path;
  } catch (error) {
    // What is a wrong configuration elsewhere is a wrong request when a peer sends it.
    throw new DynamoError('request.invalid', toDynamoError(error).message, { cause: error });
  }
  throw new DynamoError(
    'request.invalid',
    `endpoint ${JSON.stringify(endpoint)} must be written namespace.component.endpoint`,
  );
}
