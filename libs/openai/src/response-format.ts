/** `response_format`: what the answer must look like; it becomes guided decoding. */
import { z } from 'zod';

const jsonSchema = z.looseObject({
  name: z.string().min(1, 'a schema needs a name'),
  schema: z
    .unknown()
    .refine((schema) => schema !== undefined && schema !== null, 'a schema is required')
    .refine((schema) => schema !== false, 'the schema "false" allows no answer')
    .refine((schema) => schema === true || isObject(schema), 'expected a JSON schema object'),
  strict: z.boolean().nullish(),
});

/** Schema of `response_format`. */
export const responseFormatSchema = z.discriminatedUnion(
  'type',
  [
    z.looseObject({ type: z.literal('text') }),
    z.looseObject({ type: z.literal('json_object') }),
    z.looseObject({ type: z.literal('json_schema'), json_schema: jsonSchema }),
  ],
  { error: 'type must be text, json_object or json_schema' },
);

/** `response_format` after validation. */
export type ResponseFormat = z.output<typeof responseFormatSchema>;

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
