/** Token ids in requests. */
import { z } from 'zod';

/** Largest token id: ids are u32. */
export const MAX_TOKEN_ID = 0xffff_ffff;

/** Whether a value is a token id. */
export function isTokenId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TOKEN_ID;
}

/** Schema of a list of token ids: one check for all of it, because 100,000 schemas of one id take 100 ms. */
export const tokenIdsSchema = z.custom<readonly number[]>(
  (value) => Array.isArray(value) && value.every(isTokenId),
  'expected an array of token ids',
);
