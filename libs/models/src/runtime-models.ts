/** The models that one runtime publishes, and the endpoints that serve their files: one for each component. */
import type { BuiltModelCard, CardFileServer } from '@dynamo-ts/preprocess';
import { ModelRecord, formatEndpointPath, modelCardKey } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { DistributedRuntime } from '@dynamo-ts/runtime';

import { serveModelFiles } from './model-files-endpoint.ts';
import { RegisteredModel } from './registered-model.ts';

/** By runtime, because models live and end with the runtime that publishes them. */
const byRuntime = new WeakMap<DistributedRuntime, RuntimeModels>();

/** Models of one runtime. */
export class RuntimeModels {
  readonly #runtime: DistributedRuntime;
  readonly #files = new Map<string, Promise<CardFileServer>>();
  readonly #models = new Map<string, RegisteredModel>();

  private constructor(runtime: DistributedRuntime) {
    this.#runtime = runtime;
  }

  /** Those of a runtime; the same object each time. */
  static of(runtime: DistributedRuntime): RuntimeModels {
    const known = byRuntime.get(runtime);
    if (known !== undefined) return known;
    const made = new RuntimeModels(runtime);
    byRuntime.set(runtime, made);
    return made;
  }

  /** The model that an endpoint of this runtime serves. */
  at(path: EndpointPath): RegisteredModel | undefined {
    return this.#models.get(formatEndpointPath(path));
  }

  /** Serves the files, then publishes the card; a card that the endpoint had before is replaced. */
  async publish(path: EndpointPath, { card, files }: BuiltModelCard): Promise<RegisteredModel> {
    const server = await this.#fileServer(path);
    server.publish(files);
    const { instanceId } = this.#runtime;
    const record = ModelRecord.create({ type: 'Model', ...path, instanceId, card });
    const registration = await this.#runtime.register({
      key: modelCardKey(path, instanceId),
      value: new TextEncoder().encode(JSON.stringify(ModelRecord.toJSON(record))),
    });
    const name = formatEndpointPath(path);
    const model: RegisteredModel = new RegisteredModel({
      card,
      path,
      registration,
      onUnregister: () => {
        if (this.#models.get(name) === model) this.#models.delete(name);
      },
    });
    this.#models.set(name, model);
    return model;
  }

  #fileServer(path: EndpointPath): Promise<CardFileServer> {
    const key = `${path.namespace}.${path.component}`;
    const serving = this.#files.get(key) ?? serveModelFiles(this.#runtime, path);
    this.#files.set(key, serving);
    serving.catch(() => this.#files.delete(key));
    return serving;
  }
}
