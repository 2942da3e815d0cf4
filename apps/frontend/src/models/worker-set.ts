/**
 * The workers of one model at one endpoint. They all publish the same card; what is loaded for it lives as long as the set
 * or the last request that uses it.
 */
import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { ModelPreprocessor } from '@dynamo-ts/preprocess';
import type { EndpointPath, ModelDeploymentCard, ModelRecord } from '@dynamo-ts/protocol';

import type { ModelWorkers } from './model-workers.ts';
import type { ServedModel } from './served-model.ts';

/** What is needed to serve the set. */
export interface LoadedSet {
  readonly preprocessor: ModelPreprocessor;
  readonly workers: ModelWorkers;
}

/** The instances of the endpoint, told apart. */
interface Members {
  /** How many publish the card. */
  readonly serving: number;
  /** Those that serve another model. */
  readonly foreign: readonly InstanceId[];
}

type State =
  | { readonly kind: 'loading' }
  | { readonly kind: 'ready'; readonly loaded: LoadedSet }
  | { readonly kind: 'closed' };

/** One worker set. */
export class WorkerSet {
  readonly name: string;
  readonly card: ModelDeploymentCard;
  readonly path: EndpointPath;
  /** Unix seconds. */
  readonly created: number = Math.floor(Date.now() / 1000);
  readonly #publishers = new Map<string, InstanceId>();
  readonly #closed = new AbortController();
  #state: State = { kind: 'loading' };
  #users = 0;
  #counted: Members | undefined;
  #offInstances: () => void = () => undefined;

  constructor(card: ModelDeploymentCard, path: EndpointPath) {
    this.name = card.displayName;
    this.card = card;
    this.path = path;
  }

  /** Aborted when the set closes. */
  get signal(): AbortSignal {
    return this.#closed.signal;
  }

  /** Instances whose card is part of the set. */
  get publishers(): readonly InstanceId[] {
    return [...this.#publishers.values()];
  }

  /** No worker publishes the card any more. */
  get isEmpty(): boolean {
    return this.#publishers.size === 0;
  }

  /** What is loaded; undefined before that and after the end. */
  get loaded(): LoadedSet | undefined {
    return this.#state.kind === 'ready' ? this.#state.loaded : undefined;
  }

  /** Workers that could take a request; 0 while loading. */
  get liveWorkers(): number {
    return this.#members().serving;
  }

  /** A worker publishes the card. */
  add(key: string, record: ModelRecord): void {
    this.#publishers.set(key, asInstanceId(record.instanceId));
    this.#counted = undefined;
  }

  /** A worker withdrew the card. @returns whether it was part of the set */
  remove(key: string): boolean {
    this.#counted = undefined;
    return this.#publishers.delete(key);
  }

  /** Can be used from now on; what comes after the end is closed at once. */
  async setLoaded(loaded: LoadedSet): Promise<void> {
    if (this.#state.kind === 'closed') {
      await closeLoaded(loaded);
      return;
    }
    this.#state = { kind: 'ready', loaded };
    this.#counted = undefined;
    this.#offInstances = loaded.workers.client.onInstances(() => (this.#counted = undefined));
  }

  /** Takes hold of the set for one request. */
  hold(loaded: LoadedSet): ServedModel {
    this.#users += 1;
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      this.#users -= 1;
      if (this.#users === 0 && this.#state.kind === 'closed') void closeLoaded(loaded);
    };
    const { name, card } = this;
    const { preprocessor, workers } = loaded;
    const foreign = (): readonly InstanceId[] => this.#members().foreign;
    return {
      name,
      card,
      preprocessor,
      dispatcher: workers.dispatcher,
      get excluded() {
        return foreign();
      },
      release,
    };
  }

  /** Ends the set; requests that hold it go on. Idempotent. */
  async close(): Promise<void> {
    const { loaded } = this;
    this.#state = { kind: 'closed' };
    this.#closed.abort();
    this.#offInstances();
    if (loaded !== undefined && this.#users === 0) await closeLoaded(loaded);
  }

  /** Counted again after either side has changed. */
  #members(): Members {
    this.#counted ??= this.#count();
    return this.#counted;
  }

  #count(): Members {
    const ids = this.loaded?.workers.client.instanceIds() ?? [];
    const publishers = new Set(this.#publishers.values());
    const foreign = ids.filter((id) => !publishers.has(id));
    return { serving: ids.length - foreign.length, foreign };
  }
}

async function closeLoaded({ preprocessor, workers }: LoadedSet): Promise<void> {
  await workers.close();
  await preprocessor.close();
}
