/**
 * From zod's verdict to one clear sentence: the first problem, with the field it concerns in `details.param`.
 */
import { DynamoError, suggestion } from '@dynamo-ts/base';
import type { z } from 'zod';

/** How strict the service is about fields it does not know. */
export interface ValidationOptions {
  /** Unknown top-level fields are ignored, not refused (`DYN_IGNORE_OPENAI_FE_UNSUPPORTED_FIELDS`). @default false */
  readonly ignoreUnsupported?: boolean | undefined;
}

/** A JSON object whose fields have not been looked at. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** A `request.invalid` error about one field. */
export function invalidField(param: string, message: string): DynamoError {
  return new DynamoError('request.invalid', message, { details: { param } });
}

/** The body as an object without its null fields, which OpenAI's clients send for "not set". @throws `request.invalid` */
export function requestObject(body: unknown): JsonObject {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new DynamoError('request.invalid', 'The request body must be a JSON object.');
  }
  // Not by assignment: a key "__proto__" would become the object's prototype instead of an unknown field.
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
}

/** Refuses fields outside `known`. @throws `request.invalid` */
export function refuseUnknownFields(
  body: JsonObject,
  known: ReadonlySet<string>,
  options: ValidationOptions,
): void {
  if (options.ignoreUnsupported === true) return;
  const unknown = Object.keys(body).filter((key) => !known.has(key));
  const [first] = unknown;
  if (first === undefined) return;
  const named = unknown.slice(0, MAX_QUOTED_NAMES).map(quoted).join(', ');
  const rest = unknown.length - MAX_QUOTED_NAMES;
  throw invalidField(
    quoted(first),
    `Unsupported parameter(s): ${named}${rest > 0 ? ` and ${rest} more` : ''}${unknown.length === 1 ? meant(first, known) : ''}`,
  );
}

/** A long name is no misspelling, and looking for its like would cost. */
function meant(name: string, known: ReadonlySet<string>): string {
  return name.length > MAX_QUOTED_LENGTH ? '' : suggestion(name, [...known]);
}

/** Checks a value against its schema. @throws `request.invalid` with the first problem */
export function parseWith<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  if (issue === undefined) throw new DynamoError('request.invalid', 'The request is not valid.');
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1).map(quoted) : [];
  const param = [...issue.path.map(String), ...unknown].join('.');
  throw invalidField(param, param === '' ? issue.message : `${param}: ${issue.message}`);
}

/** Longest unknown name that is repeated to the client, and how many of them are. */
const MAX_QUOTED_LENGTH = 64;
const MAX_QUOTED_NAMES = 8;

function quoted(key: string): string {
  return key.length > MAX_QUOTED_LENGTH ? `${key.slice(0, MAX_QUOTED_LENGTH)}…` : key;
}
