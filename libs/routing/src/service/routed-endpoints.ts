/**
 * One router per endpoint that is asked for, opened once and kept.
 *
 * A router needs the block size of its workers. A caller that names one opens it at once; otherwise it opens when the
 * first worker has said its block size, and calls for it wait a while for that.
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
  /** 0 when it says none. @default 0 */
  readonly blockSize?: number | undefined;
  /** Gives up waiting. */
  readonly signal?: AbortSignal | undefined;
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

/** A caller that makes up endpoint names must not make the process grow. */
const MOST_ENDPOINTS = 64;

/** How long a call waits for the first worker of an endpoint. */
const WAIT_MS = 3000;

/** The routers of a service by endpoint. */
export class RoutedEndpoints implements AsyncDisposable {
  readonly #openRouter: OpenEndpointRouter;
  readonly #openings = new Map<string, Opening>();
  readonly #opened = new Map<string, EndpointRouter>();
  readonly #listeners = new Set<(endpoint: RoutedEndpoint) => void>();
  #closing: Promise<void> | undefined;

  constructor(open: OpenEndpointRouter) {
    this.#openRouter = open;
  }

  /** Those that are open. */
  all(): readonly RoutedEndpoint[] {
    return [...this.#opened].map(([name, router]) => ({ name, router }));
  }

  /** The router of an endpoint if it is open. */
  tryGet(endpoint: string): EndpointRouter | undefined {
    return this.#opened.get(endpoint);
  }

  /**
   * Keeps a router for an endpoint from now on, whenever its first worker comes. @returns the router, once it is open
   *
   * @throws `request.invalid`
   */
  prepare(endpoint: string): Promise<EndpointRouter> {
    const opening = this.#opening(endpoint);
    opening.isKept = true;
    return opening.router;
  }

  /**
   * The router of an endpoint, opening it when it is the first time.
   *
   * @throws `request.invalid` for a name that is none, or one more endpoint than a service takes; `backend.unavailable`
   * when neither the call nor a worker says a block size
   */
  async open(endpoint: string, call: EndpointCall = {}): Promise<EndpointRouter> {
    const opened = this.#opened.get(endpoint);
    if (opened !== undefined) return opened;
    const opening = this.#opening(endpoint);
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
      if (opening.waiting === 0 && !opening.isKept && !this.#opened.has(endpoint))
        this.#giveUp(endpoint, opening);
    }
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

  #opening(endpoint: string): Opening {
    const known = this.#openings.get(endpoint);
    if (known !== undefined) return known;
    if (this.#closing !== undefined)
      throw new DynamoError('runtime.closed', 'the router service is closed');
    const path = requestedPath(endpoint);
    if (this.#openings.size >= MOST_ENDPOINTS) {
      throw new DynamoError(
        'request.invalid',
        `this router already serves ${MOST_ENDPOINTS} endpoints and takes no further one`,
      );
    }
    const abort = new AbortController();
    const blockSize = Promise.withResolvers<number>();
    const router = this.#open(path, { blockSize: blockSize.promise, signal: abort.signal });
    const opening: Opening = { router, blockSize, abort, isKept: false, waiting: 0 };
    this.#openings.set(endpoint, opening);
    router.catch(() => this.#forget(endpoint, opening));
    return opening;
  }

  /** Nobody waits for it any more. */
  #giveUp(endpoint: string, opening: Opening): void {
    this.#forget(endpoint, opening);
    opening.abort.abort(new AbortReasonError('superseded'));
  }

  #forget(endpoint: string, opening: Opening): void {
    if (this.#openings.get(endpoint) === opening) this.#openings.delete(endpoint);
  }

  async #open(path: EndpointPath, options: OpenRouterOptions): Promise<EndpointRouter> {
    const router = await this.#openRouter(path, options);
    const name = formatEndpointPath(path);
    this.#opened.set(name, router);
    for (const listener of this.#listeners) listener({ name, router });
    return router;
  }

  async #close(): Promise<void> {
    const openings = [...this.#openings.values()];
    for (const { abort } of openings) abort.abort(new AbortReasonError('shutdown'));
    await Promise.allSettled(openings.map(({ router }) => router));
    await Promise.all([...this.#opened.values()].map((router) => router.close()));
    this.#opened.clear();
    this.#openings.clear();
  }
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
