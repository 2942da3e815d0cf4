/** Values for requests that leave them out (RF 3.16), from a file that the operator gives. */
import { readFileSync } from 'node:fs';

import { DynamoError, failureReason } from '@dynamo-ts/base';

import type { GenerationBody } from './generation-body.ts';

/** What a template may fill. */
export interface RequestTemplate {
  readonly model?: string | undefined;
  readonly temperature?: number | undefined;
  readonly max_completion_tokens?: number | undefined;
}

const FIELDS = {
  model: 'string',
  temperature: 'number',
  max_completion_tokens: 'number',
} as const;

/** Reads `{"model", "temperature", "max_completion_tokens"}`. @throws `config.invalid` */
export function readRequestTemplate(path: string): RequestTemplate {
  let template: unknown;
  try {
    template = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    const message = `cannot read the request template ${path}: ${failureReason(cause)}`;
    throw new DynamoError('config.invalid', message, { cause });
  }
  if (typeof template !== 'object' || template === null || Array.isArray(template)) {
    throw new DynamoError('config.invalid', `the request template ${path} is no JSON object`);
  }
  for (const [name, value] of Object.entries(template)) {
    const expected = Object.hasOwn(FIELDS, name) ? FIELDS[name as keyof typeof FIELDS] : undefined;
    if (typeof value === expected) continue;
    throw new DynamoError(
      'config.invalid',
      `the request template ${path} has ${expected === undefined ? 'an unknown field' : 'no ' + expected + ' in'} ${name}`,
    );
  }
  return template;
}

/**
 * The body with what it leaves out, or leaves empty or 0, filled from the template. `limitField` is the name that the
 * endpoint has for the limit of tokens.
 */
export function fillFromTemplate(
  body: GenerationBody,
  template: RequestTemplate,
  limitField: 'max_completion_tokens' | 'max_tokens',
): GenerationBody {
  const { fields } = body;
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return body;
  const given = fields as Readonly<Record<string, unknown>>; // an object of JSON
  const filled = Object.entries({
    model: template.model,
    temperature: template.temperature,
    [limitField]: given['max_tokens'] ? undefined : template.max_completion_tokens,
  }).filter(([name, value]) => value !== undefined && !given[name]);
  if (filled.length === 0) return body;
  const added = Object.fromEntries(filled);
  const whole = { ...fields, ...added };
  return body.value === undefined
    ? { ...body, fields: whole, bytes: withMembers(body.bytes, added) }
    : { fields: whole, bytes: Buffer.from(JSON.stringify(whole)), value: whole };
}

/** A large body is not parsed here: members are put before its closing brace, where they win over earlier ones. */
function withMembers(bytes: Uint8Array, members: Readonly<Record<string, unknown>>): Uint8Array {
  const end = bytes.lastIndexOf('}'.charCodeAt(0));
  const added = Buffer.from(`,${JSON.stringify(members).slice(1)}`);
  return Buffer.concat([bytes.subarray(0, end), added]);
}
