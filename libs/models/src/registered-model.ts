import type { EndpointPath, ModelDeploymentCard } from '@dynamo-ts/protocol';
import type { Registration } from '@dynamo-ts/runtime';

/** What a {@link RegisteredModel} is made of. */
export interface RegisteredModelOptions {
  readonly card: ModelDeploymentCard;
  /** The endpoint that generates. */
  readonly path: EndpointPath;
  readonly registration: Registration;
  readonly onUnregister: () => void;
}

/** A model that frontends can find; disposing of it takes it out of discovery. */
export class RegisteredModel implements AsyncDisposable {
  readonly card: ModelDeploymentCard;
  readonly path: EndpointPath;
  readonly #options: RegisteredModelOptions;

  constructor(options: RegisteredModelOptions) {
    this.card = options.card;
    this.path = options.path;
    this.#options = options;
  }

  /** Takes the card out of discovery; its files are served on for frontends that are still loading it. Idempotent. */
  async unregister(): Promise<void> {
    this.#options.onUnregister();
    await this.#options.registration.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unregister();
  }
}
