/**
 * One router per endpoint and block size, shared by the models that are served there in blocks of that size: they run on
 * the same workers, whose caches and load are the same for all of them. It opens with the first model and closes with the
 * last. Models whose blocks differ run on workers of their own, so that their routers have nothing in common.
 */
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';

import type { KvRouter } from '../kv-router.ts';
import { ModelRouter } from './model-router.ts';

/** An endpoint to route for. */
export interface RoutedPool {
  readonly path: EndpointPath;
  /** Tokens per block of its models. */
  readonly blockSize: number;
  /** Whose queue classes apply. @default those of every model */
  readonly model?: string | undefined;
}

/** A router that models can join and leave. */
export interface JoinedRouter {
  readonly router: KvRouter;
  readonly joined: (model: string | undefined) => void;
  readonly left: (model: string | undefined) => Promise<void>;
}

interface Entry {
  readonly opening: Promise<JoinedRouter>;
  users: number;
}

/** The routers of a process by endpoint and block size. */
export class SharedRouters {
  readonly #open: (pool: RoutedPool) => Promise<JoinedRouter>;
  readonly #entries = new Map<string, Entry>();
  /** Two routers of the same workers would write the same series. */
  readonly #closing = new Map<string, Promise<void>>();

  constructor(open: (pool: RoutedPool) => Promise<JoinedRouter>) {
    this.#open = open;
  }

  /** Joins the router of the pool's endpoint and block size, opening it for the first model. @throws why it cannot be opened */
  async join(pool: RoutedPool): Promise<ModelRouter> {
    const name = `${formatEndpointPath(pool.path)}/${pool.blockSize}`;
    const entry = this.#entries.get(name) ?? this.#begin(name, pool);
    entry.users += 1;
    try {
      const { router, joined, left } = await entry.opening;
      joined(pool.model);
      return new ModelRouter(router, pool.model, async () => {
        await Promise.all([this.#leave(name, entry, router), left(pool.model)]);
      });
    } catch (error) {
      if (this.#entries.get(name) === entry) this.#entries.delete(name);
      throw error;
    }
  }

  #begin(name: string, pool: RoutedPool): Entry {
    const opening = (async () => {
      await this.#closing.get(name);
      return this.#open(pool);
    })();
    const entry = { opening, users: 0 };
    this.#entries.set(name, entry);
    return entry;
  }

  async #leave(name: string, entry: Entry, router: KvRouter): Promise<void> {
    entry.users -= 1;
    if (entry.users > 0) return;
    this.#entries.delete(name);
    const closing = router.close();
    this.#closing.set(name, closing);
    try {
      await closing;
    } finally {
      if (this.#closing.get(name) === closing) this.#closing.delete(name);
    }
  }
}
