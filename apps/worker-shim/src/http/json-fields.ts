/** Reads fields of JSON that another program sent: a wrong type reads as absent instead of spreading through the code. */

/** A JSON object whose fields are not known to be anything. */
export type JsonRecord = Readonly<Record<string, unknown>>;

const NOTHING: JsonRecord = {};

/** The object; an empty one for anything else. */
export function recordOf(value: unknown): JsonRecord {
  return typeof value === 'object' && value !== null ? (value as JsonRecord) : NOTHING;
}

/** The array; an empty one for anything else. */
export function arrayOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

/** The number, if it is one. */
export function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

/** The string, if it is one. */
export function stringOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** The object that the text holds; an empty one when it is no JSON or no object. */
export function parseRecord(json: string): JsonRecord {
  try {
    return recordOf(JSON.parse(json));
  } catch {
    return NOTHING;
  }
}
