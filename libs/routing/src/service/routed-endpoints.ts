/** The routers of the endpoints that are asked for, opened once and kept. */
import { DynamoError } from '@dynamo-ts/base';
import { formatEndpointPath, parseEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { Logger } from '@dynamo-ts/telemetry';

import type { ModelBlocks } from '../kv/fleet/endpoint-models.ts';
import { quoted } from './block-choice.ts';
import type { EndpointRouter } from './endpoint-router.ts';
import { RoutedEndpoint } from './routed-endpoint.ts';
import type { EndpointCall, FollowedModels, OpenEndpointRouter } from './routed-endpoint.ts';

/** Follows the model cards of an endpoint and tells of every change. */
export type FollowModels = (path: EndpointPath, onChange: () => void) => FollowedModels;

/** A router that is open. */
export interface OpenRouter {
  /** `namespace.component.endpoint`. */
  readonly name: string;
  readonly router: EndpointRouter;
}

/** Settings of {@link RoutedEndpoints}. */
export interface RoutedEndpointsOptions {
  readonly open: OpenEndpointRouter;
  readonly follow: FollowModels;
  /** Models of the engines that were registered for an endpoint by hand. @default none */
  readonly registered?: ((endpoint: string) => readonly ModelBlocks[]) | undefined;
  /** Tokens per block of every router, whatever callers name: then each endpoint has one. @default as callers and workers say */
  readonly blockSize?: number | undefined;
  readonly logger: Logger;
}

/** Routers: a caller that makes up endpoint names or block sizes must not make the process grow. */
const MOST_ROUTERS = 64;

/** The routers of a service by endpoint and block size. */
export class RoutedEndpoints implements AsyncDisposable {
  readonly #options: RoutedEndpointsOptions;
  readonly #endpoints = new Map<string, RoutedEndpoint>();
  readonly #listeners = new Set<(router: OpenRouter) => void>();
  #closing: Promise<void> | undefined;

  constructor(options: RoutedEndpointsOptions) {
    this.#options = options;
  }

  /** Those that are open; of an endpoint, the smallest blocks first. */
  all(): readonly OpenRouter[] {
    return [...this.#endpoints.values()].flatMap((endpoint) =>
      endpoint.routers().map((router) => ({ name: endpoint.name, router })),
    );
  }

  /** Those of an endpoint that are open. A booking is known to one of them; to the others its id is unknown. */
  routersOf(endpoint: string): readonly EndpointRouter[] {
    return this.#endpoints.get(endpoint)?.routers() ?? [];
  }

  /**
   * Keeps a router for each block size of an endpoint from now on, whenever its first worker comes. @returns the routers,
   * once they are open
   *
   * @throws `request.invalid`
   */
  prepare(endpoint: string): Promise<readonly EndpointRouter[]> {
    return this.#reach(endpoint).keep();
  }

  /**
   * The router of an endpoint that a call means, opening it when it is the first time.
   *
   * @throws `request.invalid` for a name that is none, a call that can mean several routers or none, or one more router
   * than a service takes; `backend.unavailable` when neither the call nor a worker says a block size
   */
  async open(endpoint: string, call: EndpointCall = {}): Promise<EndpointRouter> {
    return this.#with(endpoint, (each) => each.router(call));
  }

  /** A router for each block size of an endpoint. @throws as {@link open} */
  async openAll(endpoint: string, signal?: AbortSignal): Promise<readonly EndpointRouter[]> {
    return this.#with(endpoint, (each) => each.all(signal));
  }

  /** Engines were registered for an endpoint, or taken away. */
  registrationsChanged(endpoint: string): void {
    this.#endpoints.get(endpoint)?.changed();
  }

  /** Calls `listener` for every router that is open and every later one. @returns an unsubscribe */
  onOpened(listener: (router: OpenRouter) => void): () => void {
    this.#listeners.add(listener);
    for (const router of this.all()) listener(router);
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

  async #with<T>(endpoint: string, action: (endpoint: RoutedEndpoint) => Promise<T>): Promise<T> {
    const reached = this.#reach(endpoint);
    try {
      return await action(reached);
    } finally {
      if (reached.isIdle && this.#endpoints.get(endpoint) === reached) {
        this.#endpoints.delete(endpoint);
        void reached.close();
      }
    }
  }

  #reach(name: string): RoutedEndpoint {
    const known = this.#endpoints.get(name);
    if (known !== undefined) return known;
    if (this.#closing !== undefined)
      throw new DynamoError('runtime.closed', 'the router service is closed');
    const path = requestedPath(name);
    this.#requireRoom();
    const { open, follow, registered, blockSize, logger } = this.#options;
    const endpoint = new RoutedEndpoint({
      path,
      open,
      blockSize,
      follow: (onChange) => follow(path, onChange),
      registered: () => registered?.(name) ?? [],
      onOpening: () => {
        if (endpoint.size > 0) this.#requireRoom();
      },
      onOpened: (router) => {
        for (const listener of this.#listeners) listener({ name, router });
      },
      onFailed: (error) => {
        logger.error('the router of an endpoint cannot be opened', { endpoint: name, error });
      },
    });
    this.#endpoints.set(name, endpoint);
    return endpoint;
  }

  /** Routers that nobody needs any more make room. */
  #requireRoom(): void {
    if (this.#count() < MOST_ROUTERS) return;
    for (const endpoint of this.#endpoints.values()) endpoint.closeUnused();
    if (this.#count() < MOST_ROUTERS) return;
    throw new DynamoError(
      'request.invalid',
      `this router already serves ${MOST_ROUTERS} endpoints and block sizes and takes no further one`,
    );
  }

  /** An endpoint without a router counts as one. */
  #count(): number {
    let count = 0;
    for (const { size } of this.#endpoints.values()) count += Math.max(size, 1);
    return count;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#endpoints.values()].map((endpoint) => endpoint.close()));
    this.#endpoints.clear();
  }
}

function requestedPath(endpoint: string): EndpointPath {
  try {
    const path = parseEndpointPath(endpoint);
    if (formatEndpointPath(path) === endpoint) return path;
  } catch {
    // What is a wrong configuration elsewhere is a wrong request when a peer sends it.
  }
  throw new DynamoError(
    'request.invalid',
    `endpoint ${quoted(endpoint)} must be written namespace.component.endpoint`,
  );
}
