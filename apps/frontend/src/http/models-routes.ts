/** `GET /v1/models` and `GET /v1/models/{id}`; an id may contain slashes. */
import { DynamoError } from '@dynamo-ts/base';
import { modelBody, modelListBody } from '@dynamo-ts/openai';
import type { ServedModel } from '@dynamo-ts/openai';
import type { FastifyInstance } from 'fastify';

import type { WorkerSet } from '../models/worker-set.ts';

/** What the list tells of a model. */
export type ModelFacts = Pick<WorkerSet, 'name' | 'created' | 'card'>;

/** What is listed; the catalogue of models is one. */
export interface ListedModels {
  /** What can take requests; the first of a name is shown. */
  servable(): readonly ModelFacts[];
  /** What is listed besides, as unavailable: models whose workers sleep or have left. */
  unavailable(): readonly ModelFacts[];
  canonicalName(name: string): string | undefined;
}

/** Adds the routes. */
export function addModelRoutes(app: FastifyInstance, catalog: ListedModels, path: string): void {
  app.get(path, () => modelListBody([...servedModels(catalog), ...unavailableModels(catalog)]));
  app.get<{ Params: { '*': string } }>(`${path}/*`, (request) => {
    const wanted = request.params['*'];
    const canonical = catalog.canonicalName(wanted);
    const model = servedModels(catalog).find(({ id }) => id === canonical);
    if (model !== undefined) return modelBody({ ...model, id: wanted });
    if (canonical !== undefined)
      throw new DynamoError('backend.unavailable', `no worker serves the model "${canonical}"`);
    throw new DynamoError('request.model_not_found', `The model "${wanted}" does not exist.`, {
      details: { param: 'model' },
    });
  });
}

/** One entry per name; the same model may be served at several endpoints. */
function servedModels(catalog: ListedModels): readonly ServedModel[] {
  return byName(catalog.servable());
}

function unavailableModels(catalog: ListedModels): readonly ServedModel[] {
  const served = new Set(catalog.servable().map(({ name }) => name));
  return byName(catalog.unavailable())
    .filter(({ id }) => !served.has(id))
    .map((model) => ({ ...model, isUnavailable: true }));
}

function byName(models: readonly ModelFacts[]): readonly ServedModel[] {
  const found = new Map<string, ServedModel>();
  for (const { name, created, card } of models) {
    if (!found.has(name)) found.set(name, { id: name, created, contextLength: card.contextLength });
  }
  return [...found.values()];
}
