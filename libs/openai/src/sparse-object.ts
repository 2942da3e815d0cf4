import { z } from 'zod';

import { requestObject } from './validation.ts';

/** An object of exactly these fields, where null means unset. */
export function sparseObject<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.preprocess(
    (value) => (isObject(value) ? requestObject(value) : value),
    z.strictObject(shape),
  );
}

/** Anything else is refused by the schema, which names the field. */
function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
