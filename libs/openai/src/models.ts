/** `GET /v1/models`: what is served. */

/** A model as the list shows it. */
export interface ServedModel {
  readonly id: string;
  /** Unix seconds at which this service learnt of it. */
  readonly created: number;
  readonly contextLength: number;
}

/** One entry of the list. */
export interface ModelBody {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: 'dynamo';
  /** Most tokens of prompt and answer together. */
  readonly max_model_len: number;
}

/** One model. */
export function modelBody(model: ServedModel): ModelBody {
  const { id, created, contextLength } = model;
  return { id, object: 'model', created, owned_by: 'dynamo', max_model_len: contextLength };
}

/** All models, sorted by name. */
export function modelListBody(models: readonly ServedModel[]): {
  object: 'list';
  data: ModelBody[];
} {
  const sorted = models.toSorted((one, other) => (one.id < other.id ? -1 : 1));
  return { object: 'list', data: sorted.map(modelBody) };
}
