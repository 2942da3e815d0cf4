import { DynamoError } from '@dynamo-ts/base';

import type { ModelFacts } from '../http/models-routes.ts';
import type { ModelSource, ServedModel } from '../models/served-model.ts';

/** An engine under its name. */
interface Entry<Engine> {
  readonly engine: Engine;
  readonly served: ServedModel;
  /** Unix seconds. */
  readonly created: number;
}

/** Engines of one kind by model name. Requests that run on an engine that is removed go on. */
export class ModelEngines<Engine> implements ModelSource {
  readonly #serve: (name: string, engine: Engine) => ServedModel;
  readonly #entries = new Map<string, Entry<Engine>>();
  #defaultName: string | undefined;

  constructor(serve: (name: string, engine: Engine) => ServedModel) {
    this.#serve = serve;
  }

  /** The first one that was added; after its removal any that is left. */
  get defaultName(): string | undefined {
    return this.#defaultName;
  }

  /** Adds an engine (`ModelAlreadyExists`). @throws `request.conflict` when the name is taken */
  add(name: string, engine: Engine): void {
    if (this.contains(name)) {
      throw new DynamoError('request.conflict', `the model "${name}" exists already`);
    }
    const created = Math.floor(Date.now() / 1000);
    this.#entries.set(name, { engine, served: this.#serve(name, engine), created });
    this.#defaultName ??= name;
  }

  /** Removes an engine (`ModelNotFound`). @throws `request.model_not_found` */
  remove(name: string): void {
    if (!this.#entries.delete(name)) throw modelNotFound(name);
    if (this.#defaultName === name) [this.#defaultName] = this.#entries.keys();
  }

  /** The engine of exactly this name; never the default one (`ModelNotFound`). @throws `request.model_not_found` */
  get(name: string): Engine {
    return this.#entry(name).engine;
  }

  contains(name: string): boolean {
    return this.#entries.has(name);
  }

  /** Names, in order of addition. */
  list(): readonly string[] {
    return [...this.#entries.keys()];
  }

  canonicalName(name: string): string | undefined {
    return this.contains(name) ? name : undefined;
  }

  acquire(name: string): ServedModel {
    return this.#entry(name).served;
  }

  servable(): readonly ModelFacts[] {
    return [...this.#entries].map(([name, { served, created }]) => ({
      name,
      created,
      card: served.card,
    }));
  }

  #entry(name: string): Entry<Engine> {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw modelNotFound(name);
    return entry;
  }
}

function modelNotFound(name: string): DynamoError {
  return new DynamoError(
    'request.model_not_found',
    `The model "${name.slice(0, 256)}" does not exist. GET /v1/models lists those that are served.`,
    { details: { param: 'model' } },
  );
}
