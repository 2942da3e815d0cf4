import type { BuiltModelCard } from '@dynamo-ts/preprocess';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { DistributedRuntime } from '@dynamo-ts/runtime';

import type { RegisteredModel } from './registered-model.ts';
import { RuntimeModels } from './runtime-models.ts';

/** A card that is already built, and where it belongs. */
export interface PublishModelOptions {
  readonly runtime: DistributedRuntime;
  /** The endpoint that generates. */
  readonly path: EndpointPath;
  readonly built: BuiltModelCard;
}

/** Publishes a built card and its files, for workers that build it themselves; `registerModel` does both. */
export async function publishModel(options: PublishModelOptions): Promise<RegisteredModel> {
  return RuntimeModels.of(options.runtime).publish(options.path, options.built);
}
