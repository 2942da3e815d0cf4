/** `GET /v1/models`: what is served. */

/** A model as the list shows it. */
export interface ServedModel {
  readonly id: string;
  /** Unix seconds at which this service learnt of it. */
  readonly created: number;
  /** 0 when it is not known. */
  readonly contextLength: number;
  /** Known, but no worker serves it now. */
  readonly isUnavailable?: boolean;
}

/** One entry of the list. */
export interface ModelBody {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: 'dynamo';
  /** Most tokens of prompt and answer together; absent when it is not known. */
  readonly max_model_len?: number;
  /** Only there when no worker serves the model now. */
  readonly available?: false;
}

/** One model. */
export function modelBody(model: ServedModel): ModelBody {
  const { id, created, contextLength } = model;
  const limit = contextLength === 0 ? {} : { max_model_len: contextLength };
  const availability = model.isUnavailable === true ? { available: false as const } : {};
  return { id, object: 'model', created, owned_by: 'dynamo', ...limit, ...availability };
}

/** All models, sorted by name. */
export function modelListBody(models: readonly ServedModel[]): {
  object: 'list';
  data: ModelBody[];
} {
  const sorted = models.toSorted((one, other) => (one.id < other.id ? -1 : 1));
  return { object: 'list', data: sorted.map(modelBody) };
}
