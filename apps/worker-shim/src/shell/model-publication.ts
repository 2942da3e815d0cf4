/**
 * Makes a worker's model known: the model card and the instance in discovery while the engine answers, and the files of
 * the card on the endpoint `model_files` for frontends on other machines.
 */
import { ModelFileChunk, ModelFileRequest, ModelRecord, modelCardKey } from '@dynamo-ts/protocol';
import type { EndpointPath, ModelDeploymentCard } from '@dynamo-ts/protocol';
import { CardFileServer, buildModelCard } from '@dynamo-ts/preprocess';
import type { BuildModelCardOptions } from '@dynamo-ts/preprocess';
import type {
  DistributedRuntime,
  RawHandler,
  Registration,
  ServedEndpoint,
} from '@dynamo-ts/runtime';

/** Endpoint that answers `ModelFileRequest`s, beside the one that generates. */
const MODEL_FILES_ENDPOINT = 'model_files';

/** Settings of a {@link ModelPublication}. */
export interface ModelPublicationOptions {
  readonly runtime: DistributedRuntime;
  /** The endpoint that generates. */
  readonly path: EndpointPath;
  readonly handler: RawHandler;
}

/** One worker's records in discovery. */
export class ModelPublication {
  readonly #options: ModelPublicationOptions;
  readonly #files = new CardFileServer();
  #generate: ServedEndpoint | undefined;
  #modelFiles: ServedEndpoint | undefined;
  #record: Registration | undefined;

  constructor(options: ModelPublicationOptions) {
    this.#options = options;
  }

  /** Publishes files, then the instance, then the card, so that whoever sees the card can use it. */
  async register(card: BuildModelCardOptions): Promise<ModelDeploymentCard> {
    const built = await buildModelCard(card);
    this.#files.publish(built.files);
    this.#modelFiles ??= await this.#serve(MODEL_FILES_ENDPOINT, this.#readFile, {});
    this.#generate ??= await this.#serve(this.#options.path.endpoint, this.#options.handler, {
      metricsLabels: { model: built.card.displayName },
      register: false,
    });
    await this.#generate.register();
    const { path, runtime } = this.#options;
    const { instanceId } = runtime;
    const record = ModelRecord.create({ type: 'Model', ...path, instanceId, card: built.card });
    this.#record = await runtime.discovery.register({
      key: modelCardKey(path, instanceId),
      value: new TextEncoder().encode(JSON.stringify(ModelRecord.toJSON(record))),
    });
    return built.card;
  }

  /** Takes card and instance out of discovery; requests are still served. Idempotent. */
  async unregister(): Promise<void> {
    const record = this.#record;
    this.#record = undefined;
    await record?.close();
    await this.#generate?.unregister();
  }

  /** Refuses new requests and waits for those that run. */
  async drain(): Promise<void> {
    this.#generate?.refuse();
    await this.#generate?.idle();
  }

  /** Stops serving. Idempotent. */
  async close(): Promise<void> {
    await this.unregister();
    await this.#generate?.close();
    await this.#modelFiles?.close();
  }

  #serve(
    endpoint: string,
    handler: RawHandler,
    options: Parameters<ReturnType<DistributedRuntime['endpoint']>['serveRaw']>[1],
  ): Promise<ServedEndpoint> {
    const { path, runtime } = this.#options;
    const { namespace, component } = path;
    return runtime
      .namespace(namespace)
      .component(component)
      .endpoint(endpoint)
      .serveRaw(handler, options);
  }

  readonly #readFile: RawHandler = async ({ payload }, sink) => {
    const chunk = await this.#files.read(ModelFileRequest.decode(payload));
    sink.write(ModelFileChunk.encode(chunk).finish());
    sink.end();
  };
}
