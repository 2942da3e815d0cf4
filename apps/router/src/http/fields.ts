/** Fields of JSON bodies, checked as they are read. */
import { LARGEST_RANK, MOST_RANKS } from '@dynamo-ts/routing';

import { HttpProblem } from './http-problem.ts';

const LARGEST_U64 = (1n << 64n) - 1n;
const LARGEST_U32 = 0xffff_ffff;

/** A JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Reads the fields of one body; what is missing or of another type is a 422 that names it. */
export class Fields {
  readonly #body: JsonObject;

  /** The fields of a body. @throws HttpProblem when it is no object */
  constructor(body: unknown) {
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw new HttpProblem(422, 'the body must be a JSON object');
    // Checked: an object that is no array.
    this.#body = body as JsonObject;
  }

  /** Whether a field is there and not null. */
  has(name: string): boolean {
    return this.#body[name] !== undefined && this.#body[name] !== null;
  }

  /** A string. */
  text(name: string, fallback?: string): string {
    const value = this.#value(name, fallback);
    if (typeof value === 'string') return value;
    throw wrongType(name, 'a string');
  }

  /** A string if there is one. */
  tryText(name: string): string | undefined {
    return this.has(name) ? this.text(name) : undefined;
  }

  /** An unsigned 64-bit integer. */
  u64(name: string): bigint {
    return asU64(name, this.#value(name));
  }

  /** An unsigned 32-bit integer. */
  u32(name: string, fallback?: number): number {
    return asU32(name, this.#value(name, fallback));
  }

  /** Data-parallel ranks of an engine: the first one and how many. */
  ranks(first: string, count: string): { readonly dpStart: number; readonly dpSize: number } {
    return {
      dpStart: atMost(first, this.u32(first, 0), LARGEST_RANK),
      dpSize: Math.max(1, atMost(count, this.u32(count, 1), MOST_RANKS)),
    };
  }

  /** A data-parallel rank; the first one when there is none. */
  rank(name: string): number {
    return atMost(name, this.u32(name, 0), LARGEST_RANK);
  }

  /** An unsigned 32-bit integer if there is one. */
  tryU32(name: string): number | undefined {
    return this.has(name) ? this.u32(name) : undefined;
  }

  /** A number if there is one. */
  tryNumber(name: string): number | undefined {
    if (!this.has(name)) return undefined;
    const value = this.#body[name];
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw wrongType(name, 'a number');
  }

  /** A boolean. */
  flag(name: string, fallback: boolean): boolean {
    const value = this.#value(name, fallback);
    if (typeof value === 'boolean') return value;
    throw wrongType(name, 'a boolean');
  }

  /** Strings; none when the field is missing. */
  texts(name: string): readonly string[] {
    return this.#list(name).map((value) => {
      if (typeof value === 'string') return value;
      throw wrongType(name, 'an array of strings');
    });
  }

  /** Token ids. */
  tokens(name: string): Uint32Array {
    return Uint32Array.from(this.#list(name, true), (value) => asU32(name, value));
  }

  /** Hashes, which upstream writes as signed integers. */
  hashes(name: string): BigUint64Array {
    return BigUint64Array.from(this.#list(name, true), (value) => asHash(name, value));
  }

  /** A hash, which upstream writes as a signed integer at times. */
  hash(name: string): bigint {
    return asHash(name, this.#value(name));
  }

  /** Strings by rank; none when the field is missing. */
  textsByRank(name: string): ReadonlyMap<number, string> {
    if (!this.has(name)) return new Map();
    const entries = Object.entries(new Fields(this.#body[name]).all());
    return new Map(
      entries.map(([rank, value]) => {
        if (typeof value !== 'string') throw wrongType(name, 'an object of strings by rank');
        return [atMost(name, asU32(name, Number(rank)), LARGEST_RANK), value];
      }),
    );
  }

  /** The fields below a field, if it is there. */
  tryObject(name: string): Fields | undefined {
    return this.has(name) ? new Fields(this.#body[name]) : undefined;
  }

  /** The whole body. */
  all(): JsonObject {
    return this.#body;
  }

  #value(name: string, fallback?: unknown): unknown {
    if (this.has(name)) return this.#body[name];
    if (fallback !== undefined) return fallback;
    throw new HttpProblem(422, `missing field \`${name}\``);
  }

  #list(name: string, isNeeded = false): readonly unknown[] {
    const value = this.#value(name, isNeeded ? undefined : []);
    if (Array.isArray(value)) return value;
    throw wrongType(name, 'an array');
  }
}

function atMost(name: string, value: number, most: number): number {
  if (value <= most) return value;
  throw new HttpProblem(422, `field \`${name}\` must be at most ${most}`);
}

function asU32(name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= LARGEST_U32)
    return value;
  throw wrongType(name, 'an unsigned 32-bit integer');
}

function asU64(name: string, value: unknown): bigint {
  const id = asInteger(value);
  if (id !== undefined && id >= 0n && id <= LARGEST_U64) return id;
  throw wrongType(name, 'an unsigned 64-bit integer');
}

function asHash(name: string, value: unknown): bigint {
  const hash = asInteger(value);
  if (hash !== undefined && hash >= -(1n << 63n) && hash <= LARGEST_U64)
    return BigInt.asUintN(64, hash);
  throw wrongType(name, 'a 64-bit integer');
}

function asInteger(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  return Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
}

function wrongType(name: string, wanted: string): HttpProblem {
  return new HttpProblem(422, `field \`${name}\` must be ${wanted}`);
}
