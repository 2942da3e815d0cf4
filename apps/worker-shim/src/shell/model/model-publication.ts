/** Makes a worker's model known: the instance and the model card in discovery while the engine answers. */
import { publishModel } from '@dynamo-ts/models';
import type { RegisteredModel } from '@dynamo-ts/models';
import { buildModelCard } from '@dynamo-ts/preprocess';
import type { BuildModelCardOptions } from '@dynamo-ts/preprocess';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath, ModelDeploymentCard } from '@dynamo-ts/protocol';
import type { DistributedRuntime, RawHandler, ServedEndpoint } from '@dynamo-ts/runtime';

/** Settings of a {@link ModelPublication}. */
export interface ModelPublicationOptions {
  readonly runtime: DistributedRuntime;
  /** The endpoint that generates. */
  readonly path: EndpointPath;
  readonly handler: RawHandler;
}

/** How a model is made known. */
export interface RegisterOptions {
  readonly prove?: (card: ModelDeploymentCard) => Promise<void>;
  /** @default false */
  readonly isHidden?: boolean;
}

/** One worker's records in discovery. */
export class ModelPublication {
  readonly #options: ModelPublicationOptions;
  #generate: ServedEndpoint | undefined;
  #model: RegisteredModel | undefined;

  constructor(options: ModelPublicationOptions) {
    this.#options = options;
  }

  /**
   * Publishes the instance, then card and files, so that whoever sees the card can use it.
   *
   * @param how with what must succeed before anybody sees it; a hidden one is known and takes no requests
   */
  async register(
    card: BuildModelCardOptions,
    { isHidden = false, prove }: RegisterOptions = {},
  ): Promise<ModelDeploymentCard> {
    const { handler, path, runtime } = this.#options;
    const built = await buildModelCard(card);
    await prove?.(built.card);
    this.#generate ??= await runtime.endpoint(formatEndpointPath(path)).serveRaw(handler, {
      metricsLabels: { model: built.card.displayName },
      register: false,
    });
    if (!isHidden) await this.show();
    this.#model = await publishModel({ runtime, path, built });
    return built.card;
  }

  /** Takes the instance out of discovery: the model is still known, and requests are still served. Idempotent. */
  async hide(): Promise<void> {
    await this.#generate?.unregister();
  }

  /** Puts the instance into discovery again. Idempotent. */
  async show(): Promise<void> {
    await this.#generate?.register();
  }

  /** Takes card and instance out of discovery; requests are still served. Idempotent. */
  async unregister(): Promise<void> {
    const model = this.#model;
    this.#model = undefined;
    await model?.unregister();
    await this.#generate?.unregister();
  }

  /** Refuses new requests and waits for those that run. */
  async drain(): Promise<void> {
    this.#generate?.refuse();
    await this.#generate?.idle();
  }

  /** Stops to generate; files are served until the runtime closes. Idempotent. */
  async close(): Promise<void> {
    await this.unregister();
    await this.#generate?.close();
  }
}
