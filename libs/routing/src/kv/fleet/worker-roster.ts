/**
 * The workers that the core may choose: every instance that discovery knows, with what it publishes about itself, and
 * engines that were added by hand.
 */
import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { PlacementCore, WorkerEntry } from '@dynamo-ts/kv';
import type { InstanceChange } from '@dynamo-ts/runtime';

import type { InstanceView } from '../../local-router.ts';
import type { IndexFeed } from '../feed/index-feed.ts';
import { PLAIN_WORKER } from './worker-facts.ts';
import type { WorkerFact } from './worker-facts.ts';
import type { AskWorker } from '../feed/worker-kv-query.ts';

/** Instances that can be followed; a runtime `Client` is such. */
export interface FollowedInstances extends InstanceView {
  onInstances(listener: (change: InstanceChange) => void): () => void;
}

/** Settings of a {@link WorkerRoster}. */
export interface WorkerRosterOptions {
  readonly core: PlacementCore;
  readonly instances: FollowedInstances;
  readonly factOf: (workerId: InstanceId) => WorkerFact;
  /** Undefined when events are not used. */
  readonly feed: IndexFeed | undefined;
  /** Who can be chosen has changed; `bookings` went with a worker. */
  readonly onChange: (change: RosterChange) => void;
}

/** An engine that registers nowhere, and the models that it serves. */
export interface AddedWorker extends WorkerEntry {
  /** @default unknown */
  readonly models?: readonly string[] | undefined;
}

interface ModelNames {
  readonly all: ReadonlySet<string>;
  /** Those of workers whose blocks have this router's size. */
  readonly alike: ReadonlySet<string>;
}

/** A worker that came, changed or went. */
export type RosterChange =
  | { readonly kind: 'set'; readonly workerId: InstanceId }
  | {
      readonly kind: 'gone';
      readonly workerId: InstanceId;
      readonly fact: WorkerFact;
      readonly bookings: readonly string[];
    };

const NOBODY: readonly InstanceId[] = [];

/** Who can be chosen. */
export class WorkerRoster {
  readonly #options: WorkerRosterOptions;
  readonly #entries = new Map<InstanceId, WorkerFact>();
  /** Instances that discovery knows. */
  readonly #present = new Set<InstanceId>();
  readonly #external = new Map<InstanceId, AskWorker | undefined>();
  #offInstances: () => void = () => undefined;
  /** Names of all models that the workers serve, by which {@link #foreign} is asked; undefined when it must be made anew. */
  #models: ModelNames | undefined;
  readonly #foreign = new Map<string, readonly InstanceId[]>();
  /** Answer of `free()` that {@link #unusable} was made from. */
  #free: readonly InstanceId[] | undefined;
  #unusable: readonly InstanceId[] = NOBODY;
  #unusableArray: BigUint64Array | undefined;

  constructor(options: WorkerRosterOptions) {
    this.#options = options;
  }

  /** Workers that may be chosen. */
  get size(): number {
    return this.#entries.size;
  }

  /** Workers that may be chosen and of which something is known: an instance is there before its model card. */
  get described(): number {
    let count = 0;
    for (const fact of this.#entries.values()) if (fact !== PLAIN_WORKER) count += 1;
    return count;
  }

  /** What is known of a worker that may be chosen. */
  get(workerId: InstanceId): WorkerFact | undefined {
    return this.#entries.get(workerId);
  }

  /** Names of the models that the workers serve, those of another block size left out: they have another router. */
  models(): ReadonlySet<string> {
    return this.#names().alike;
  }

  /**
   * Workers that are not for a request: those that serve other models than the one it names, and those whose blocks have
   * another size, which have a router of their own unless `isOnlyRouter`.
   */
  foreign(model: string | undefined, isOnlyRouter: boolean): readonly InstanceId[] {
    const named = model !== undefined && this.#names().all.has(model) ? model : undefined;
    const key = `${isOnlyRouter} ${named === undefined ? '' : `model ${named}`}`;
    let foreign = this.#foreign.get(key);
    if (foreign === undefined) {
      foreign = [...this.#entries]
        .filter(([, fact]) => isForeign(fact, named, isOnlyRouter))
        .map(([workerId]) => workerId);
      this.#foreign.set(key, foreign);
    }
    return foreign;
  }

  /** Whether a worker's cache is counted here, as far as it is known. */
  countsAlike(workerId: InstanceId): boolean {
    return this.#entries.get(workerId)?.countsAlike ?? true;
  }

  /** Begins to follow the instances. */
  start(): void {
    this.#offInstances = this.#options.instances.onInstances(({ kind, instance }) => {
      const workerId = asInstanceId(instance.instanceId);
      if (kind === 'added') {
        this.#present.add(workerId);
        this.refresh(workerId);
      } else {
        this.#present.delete(workerId);
        // It may be draining: what it runs ends by itself, and the streams of a dead one fail.
        this.#lose(workerId, () => {
          this.#options.core.retireWorker(workerId);
          return [];
        });
      }
    });
  }

  /** Takes what is known of a worker now. One that discovery does not know as an instance is left out. */
  refresh(workerId: InstanceId): void {
    if (this.#external.has(workerId) || !this.#present.has(workerId)) return;
    this.#set(workerId, this.#options.factOf(workerId));
  }

  /** Adds an engine that registers nowhere, or replaces it; `ask` answers for what was missed of its events. */
  addExternal({ workerId, models = [], ...fact }: AddedWorker, ask?: AskWorker): void {
    this.#external.set(workerId, ask);
    this.#options.feed?.remove(workerId);
    this.#set(workerId, { ...fact, models, countsAlike: true });
  }

  /** Takes an added engine out. Idempotent. */
  removeExternal(workerId: InstanceId): void {
    if (!this.#external.delete(workerId)) return;
    this.#lose(workerId, () => this.#options.core.removeWorker(workerId));
  }

  /** Whether discovery knows a worker. */
  isDiscovered(workerId: InstanceId): boolean {
    return this.#present.has(workerId);
  }

  /** Whether an engine was added by hand. */
  isExternal(workerId: InstanceId): boolean {
    return this.#external.has(workerId);
  }

  /** Workers that may not be chosen now: those that failed the request, and those out of order. */
  excluded(failed: ReadonlySet<InstanceId>): BigUint64Array | undefined {
    this.#look();
    if (failed.size === 0) return this.#unusableArray;
    return BigUint64Array.from([...failed, ...this.#unusable]);
  }

  /** Stops following. Idempotent. */
  close(): void {
    this.#offInstances();
  }

  #set(workerId: InstanceId, fact: WorkerFact): void {
    const { core, feed, onChange } = this.#options;
    const hasEvents = fact.kvEvents && feed !== undefined;
    this.#entries.set(workerId, fact);
    this.#forgetDerived();
    const { models: _, countsAlike: __, ...entry } = fact;
    core.setWorker({ workerId, ...entry, kvEvents: hasEvents });
    const ask = this.#external.get(workerId);
    // Of an engine that was added by hand and cannot be asked nothing can be restored.
    const isRestored = hasEvents && (ask !== undefined || !this.#external.has(workerId));
    if (isRestored) feed.add(workerId, fact, ask);
    else feed?.remove(workerId);
    onChange({ kind: 'set', workerId });
  }

  /** `take` takes it out of the core and returns the bookings that go with it. */
  #lose(workerId: InstanceId, take: () => readonly string[]): void {
    const fact = this.#entries.get(workerId);
    if (fact === undefined) return;
    this.#entries.delete(workerId);
    this.#forgetDerived();
    this.#options.feed?.remove(workerId);
    const bookings = take();
    this.#options.onChange({ kind: 'gone', workerId, fact, bookings });
  }

  #forgetDerived(): void {
    this.#free = undefined;
    this.#models = undefined;
    this.#foreign.clear();
  }

  #names(): ModelNames {
    if (this.#models === undefined) {
      const facts = [...this.#entries.values()];
      const alike = facts.filter(({ countsAlike }) => countsAlike);
      this.#models = { all: namesOf(facts), alike: namesOf(alike) };
    }
    return this.#models;
  }

  #look(): void {
    const free = this.#options.instances.free();
    if (free === this.#free) return;
    this.#free = free;
    const isFree = new Set(free);
    this.#unusable = [...this.#entries.keys()].filter(
      (id) => !isFree.has(id) && !this.#external.has(id),
    );
    this.#unusableArray =
      this.#unusable.length > 0 ? BigUint64Array.from(this.#unusable) : undefined;
  }
}

/** An engine that was added without a model may serve any; a worker without a card may be about to say another one. */
function isForeign(fact: WorkerFact, model: string | undefined, isOnlyRouter: boolean): boolean {
  if (!fact.countsAlike && !isOnlyRouter) return true;
  if (model === undefined || fact.models.includes(model)) return false;
  return fact.models.length > 0 || fact === PLAIN_WORKER;
}

function namesOf(facts: readonly WorkerFact[]): ReadonlySet<string> {
  return new Set(facts.flatMap(({ models }) => models));
}
