/** JSON with 64-bit integers: hashes and worker ids are read and written without losing their low bits. */

/** Only then can a number in it be larger than a double holds exactly. */
const LONG_NUMBER = /\d{16}/;
const INTEGER = /^-?\d+$/;

/** Reads JSON; integers beyond 2^53 come as bigint. @throws SyntaxError */
export function parseJson(text: string): unknown {
  if (!LONG_NUMBER.test(text)) return JSON.parse(text);
  return SOURCE_AWARE.parse(text, (_key, value, { source }) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
    return source !== undefined && INTEGER.test(source) ? BigInt(source) : value;
  });
}

/** Writes JSON; a bigint becomes an integer. */
export function writeJson(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) =>
    typeof each === 'bigint' ? SOURCE_AWARE.rawJSON(each.toString()) : each,
  );
}

/** ECMAScript's JSON.parse source text access, which this TypeScript does not know yet. */
interface SourceAwareJson {
  parse(
    text: string,
    reviver: (
      key: string,
      value: unknown,
      context: { readonly source?: string | undefined },
    ) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
}

// Node 24 has both, see above.
const SOURCE_AWARE = JSON as unknown as SourceAwareJson;
