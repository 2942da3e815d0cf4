/** One router per endpoint that is asked for, opened once and kept. */
import { DynamoError, toDynamoError } from '@dynamo-ts/base';
import { formatEndpointPath, parseEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';

import type { EndpointRouter } from './endpoint-router.ts';

/** Makes the router of an endpoint; resolves when it can be asked. */
export type OpenEndpointRouter = (path: EndpointPath) => Promise<EndpointRouter>;

/** A router that is open. */
export interface RoutedEndpoint {
  /** `namespace.component.endpoint`. */
  readonly name: string;
  readonly router: EndpointRouter;
}

/** A caller that makes up endpoint names must not make the process grow. */
const MOST_ENDPOINTS = 64;

/** The routers of a service by endpoint. */
export class RoutedEndpoints implements AsyncDisposable {
  readonly #openRouter: OpenEndpointRouter;
  readonly #opening = new Map<string, Promise<EndpointRouter>>();
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
   * The router of an endpoint, opening it when it is the first time.
   *
   * @throws `request.invalid` for a name that is none, or one more endpoint than a service takes
   */
  async open(endpoint: string): Promise<EndpointRouter> {
    const known = this.#opening.get(endpoint);
    if (known !== undefined) return known;
    if (this.#closing !== undefined)
      throw new DynamoError('runtime.closed', 'the router service is closed');
    const path = requestedPath(endpoint);
    if (this.#opening.size >= MOST_ENDPOINTS) {
      throw new DynamoError(
        'request.invalid',
        `this router already serves ${MOST_ENDPOINTS} endpoints and takes no further one`,
      );
    }
    const opening = this.#open(endpoint, path);
    this.#opening.set(endpoint, opening);
    opening.catch(() => this.#opening.delete(endpoint));
    return opening;
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

  async #open(name: string, path: EndpointPath): Promise<EndpointRouter> {
    const router = await this.#openRouter(path);
    this.#opened.set(name, router);
    for (const listener of this.#listeners) listener({ name, router });
    return router;
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#opening.values());
    await Promise.all([...this.#opened.values()].map((router) => router.close()));
    this.#opened.clear();
    this.#opening.clear();
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
