/** `GET` and `POST /busy_threshold`: above which load workers take no more requests, per model (RF 2.3). */
import { DynamoError, toDynamoError } from '@dynamo-ts/base';
import { parseJsonBody } from '@dynamo-ts/openai';
import type { JsonObject } from '@dynamo-ts/openai';
import type { BusyThreshold, BusyThresholdPatch, BusyThresholds } from '@dynamo-ts/routing';
import type { FastifyInstance, FastifyReply } from 'fastify';

import type { ModelCatalog } from '../models/model-catalog.ts';
import { readBody, requireJson } from './body-reader.ts';

const PATH = '/busy_threshold';
const BODY_LIMIT_BYTES = 64 * 1024;
const UNPROCESSABLE = 422;

/** Names in the body, by name here. */
const FIELDS = {
  activeDecodeBlocksThreshold: 'active_decode_blocks_threshold',
  activePrefillTokensThreshold: 'active_prefill_tokens_threshold',
  activePrefillTokensThresholdFrac: 'active_prefill_tokens_threshold_frac',
} as const satisfies Record<keyof BusyThreshold, string>;

const NAMES = Object.keys(FIELDS) as (keyof BusyThreshold)[]; // the keys of a constant

/** Adds the routes. */
export function addBusyRoutes(
  app: FastifyInstance,
  thresholds: BusyThresholds,
  catalog: ModelCatalog,
): void {
  app.get(PATH, () => {
    const served = catalog.sets().map(({ name }) => name);
    const set = thresholds.all().map(({ model }) => model);
    const models = [...new Set([...set, ...served])];
    const bodies = models.map((model) => bodyOf(model, thresholds.get(model)));
    return { thresholds: bodies.filter((body) => Object.keys(body).length > 1) };
  });
  app.post(PATH, async (request, reply) => {
    try {
      requireJson(request.raw);
      const body = parseBody(await readBody(request.raw, BODY_LIMIT_BYTES));
      const { model, patch } = readPatch(body);
      const name = catalog.canonicalName(model);
      if (name === undefined)
        throw new DynamoError('request.model_not_found', `the model "${model}" does not exist`);
      const isRead = Object.keys(patch).length === 0;
      return bodyOf(name, isRead ? thresholds.get(name) : thresholds.set(name, patch));
    } catch (error) {
      return sendError(reply, error);
    }
  });
}

function parseBody(bytes: Uint8Array): JsonObject {
  const { value } = parseJsonBody(bytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw unprocessable('the body must be a JSON object');
  return value as JsonObject; // its fields are looked at below
}

interface ThresholdRequest {
  readonly model: string;
  /** Empty when the thresholds are only asked for. */
  readonly patch: BusyThresholdPatch;
}

function readPatch({ model, ...rest }: JsonObject): ThresholdRequest {
  if (typeof model !== 'string' || model === '') throw unprocessable('model must be a name');
  const known: readonly string[] = Object.values(FIELDS);
  const stray = Object.keys(rest).find((field) => !known.includes(field));
  if (stray !== undefined)
    throw unprocessable(`unknown field ${stray}; known are model, ${known.join(', ')}`);
  const patch = NAMES.flatMap((name) => {
    const value = rest[FIELDS[name]];
    if (value === undefined) return [];
    if (typeof value !== 'number' && value !== null)
      throw unprocessable(`${FIELDS[name]} must be a number, or null to take it away`);
    return [[name, value] as const];
  });
  return { model, patch: Object.fromEntries(patch) };
}

function bodyOf(model: string, threshold: BusyThreshold): Readonly<Record<string, unknown>> {
  const set = NAMES.filter((name) => threshold[name] !== undefined);
  return { model, ...Object.fromEntries(set.map((name) => [FIELDS[name], threshold[name]])) };
}

/** Well-formed JSON that is not what the route takes. */
function unprocessable(message: string): DynamoError {
  return new DynamoError('request.invalid', message, { details: { status: UNPROCESSABLE } });
}

/** This route's errors have a form of their own. */
async function sendError(reply: FastifyReply, error: unknown): Promise<FastifyReply> {
  const { message, info, details } = toDynamoError(error);
  const status = typeof details?.['status'] === 'number' ? details['status'] : info.http;
  return reply.code(status).send({ error: status < 500 ? message : 'Internal server error' });
}
