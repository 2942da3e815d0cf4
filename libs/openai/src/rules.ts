/** Rules between fields, which a schema of single fields cannot say (RF 3.5). */
import { DynamoError } from '@dynamo-ts/base';

import type { CommonFields } from './common-fields.ts';
import { NVEXT_COMMON_FIELDS } from './nvext.ts';
import type { ResponseFormat } from './response-format.ts';
import type { JsonObject } from './validation.ts';
import { invalidField } from './validation.ts';

/** Deepest guided schema or grammar: engines compile it recursively. */
const MAX_GUIDED_DEPTH = 500;
/** Most choices of one request, over all its prompts. */
export const MAX_CHOICES = 128;

/** Refuses fields that OpenAI deprecated and that were never built. @throws `runtime.not_implemented` */
export function refuseNotImplemented(body: JsonObject, fields: readonly string[]): void {
  const found = fields.find((field) => field in body && body[field] !== false);
  if (found === undefined) return;
  throw new DynamoError('runtime.not_implemented', `"${found}" is not supported.`, {
    details: { param: found },
  });
}

/** Moves deprecated fields of `nvext` to the top level, where a value that is already there wins. */
export function liftNvext<Fields extends CommonFields>(fields: Fields): Fields {
  const { nvext } = fields;
  if (nvext === undefined) return fields;
  const lifted: Record<string, unknown> = { ...fields };
  for (const name of NVEXT_COMMON_FIELDS) lifted[name] ??= nvext[name];
  if (nvext.greed_sampling === true) {
    lifted['temperature'] = 0;
    lifted['top_p'] = 1;
    lifted['top_k'] = 1;
  }
  return lifted as Fields; // the same fields, some filled in from a validated object of the same types
}

/** Checks the rules of both endpoints. @throws `request.invalid` */
export function checkCommonRules(fields: CommonFields, format?: ResponseFormat): void {
  checkChoices(fields, 1);
  if (fields.stream_options !== undefined && fields.stream !== true) {
    throw invalidField('stream_options', 'stream_options is only allowed with "stream": true');
  }
  if (fields.best_of !== undefined && fields.best_of < (fields.n ?? 1)) {
    throw invalidField('best_of', `best_of must be at least n, got ${fields.best_of}`);
  }
  checkGuided(fields, format);
}

/** Checks the number of choices that `promptCount` prompts make. @throws `request.invalid` */
export function checkChoices(fields: CommonFields, promptCount: number): void {
  const n = fields.n ?? 1;
  if (n > 1 && fields.temperature === 0) {
    throw invalidField('n', 'n > 1 needs a temperature above 0: greedy answers are all the same');
  }
  if (n * promptCount > MAX_CHOICES) {
    throw invalidField(
      'n',
      `prompts × n must be at most ${MAX_CHOICES}, got ${promptCount} × ${n}`,
    );
  }
}

function checkGuided(fields: CommonFields, format: ResponseFormat | undefined): void {
  const guides = ['guided_json', 'guided_regex', 'guided_grammar', 'guided_choice'] as const;
  const used: string[] = guides.filter((name) => fields[name] !== undefined);
  if (format !== undefined && format.type !== 'text') used.push('response_format');
  if (used.length > 1) {
    throw invalidField(used[1] ?? '', `only one of ${used.join(', ')} can guide the answer`);
  }
  const schema = format?.type === 'json_schema' ? format.json_schema.schema : fields.guided_json;
  const deep =
    nestingOf(schema) > MAX_GUIDED_DEPTH ||
    bracketDepth(fields.guided_grammar ?? '') > MAX_GUIDED_DEPTH;
  if (deep) {
    throw invalidField(used[0] ?? '', `guided decoding nests deeper than ${MAX_GUIDED_DEPTH}`);
  }
}

/** Depth of a JSON value, counted without recursion because the value is the client's. */
function nestingOf(value: unknown): number {
  let level: unknown[] = [value];
  let depth = 0;
  while (depth <= MAX_GUIDED_DEPTH) {
    level = level.flatMap((item): unknown[] =>
      typeof item === 'object' && item !== null ? Object.values(item) : [],
    );
    if (level.length === 0) return depth;
    depth += 1;
  }
  return depth;
}

function bracketDepth(grammar: string): number {
  let depth = 0;
  let deepest = 0;
  for (const character of grammar) {
    if ('([{'.includes(character)) depth += 1;
    else if (')]}'.includes(character)) depth -= 1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}
