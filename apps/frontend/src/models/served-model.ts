import type { InstanceId } from '@dynamo-ts/base';
import type { DispatchRequest, DispatchedStream, Placement } from '@dynamo-ts/routing';
import type { ModelPreprocessor } from '@dynamo-ts/preprocess';
import type { ModelDeploymentCard } from '@dynamo-ts/protocol';

/** Sends requests to a model's workers; a `Dispatcher` is one. */
export interface Dispatches {
  dispatch(request: DispatchRequest): Promise<DispatchedStream>;
  /** Where the request would go; books and sends nothing. */
  advise(request: DispatchRequest): Promise<Placement>;
}

/** A model that can take a request, held until the request has ended. */
export interface ServedModel {
  /** Canonical name; aliases lead to it. */
  readonly name: string;
  readonly card: ModelDeploymentCard;
  readonly preprocessor: ModelPreprocessor;
  readonly dispatcher: Dispatches;
  /** Instances at the same endpoint that serve another model, as of now. */
  readonly excluded: readonly InstanceId[];
  /** The request has ended. Idempotent. */
  release(): void;
}

/** Finds the model of a request. */
export interface ModelSource {
  /** Canonical name of a model or alias that is known; undefined otherwise. */
  canonicalName(name: string): string | undefined;
  /**
   * Takes hold of a model.
   *
   * @throws `request.model_not_found`, `backend.unavailable` when it is known but has no worker or is being loaded
   */
  acquire(name: string): ServedModel;
}
