import { DynamoError } from '@dynamo-ts/base';
import type { NativeMockEngineOptions } from '@dynamo-ts/native';

/** Which running request gives up its blocks when the cache is full: the newest (lifo) or the oldest (fifo). */
export type PreemptionMode = 'lifo' | 'fifo';

/** Settings of a simulated engine, under Dynamo's names. */
export interface MockEngineOptions {
  /** Token ids to generate from: each whole printable text, none of them an end-of-sequence id. */
  readonly vocabulary: Uint32Array;
  /** KV cache of each rank in blocks. @default 16384 */
  readonly numGpuBlocks?: number | undefined;
  /** Tokens per block. @default 64 */
  readonly blockSize?: number | undefined;
  /** Most requests in one pass of a rank. @default 256 */
  readonly maxNumSeqs?: number | undefined;
  /** Most tokens computed in one pass of a rank. @default 8192 */
  readonly maxNumBatchedTokens?: number | undefined;
  /** Reuse blocks of equal prefixes and report KV events. @default true */
  readonly enablePrefixCaching?: boolean | undefined;
  /** Compute a long prompt over several passes; otherwise a prompt must fit one pass. @default true */
  readonly enableChunkedPrefill?: boolean | undefined;
  /** Share of the cache that admitting a request must leave free, 0 to below 1. @default 0.01 */
  readonly watermark?: number | undefined;
  /** Every pass is this many times faster; 0 takes no time at all. @default 1 */
  readonly speedupRatio?: number | undefined;
  /** The decode part of a pass is this many times faster still; 0 takes no time at all. @default 1 */
  readonly decodeSpeedupRatio?: number | undefined;
  /** Data-parallel ranks, each with a scheduler and a cache of its own. @default 1 */
  readonly dpSize?: number | undefined;
  /** Time until the first pass may begin. @default 0 */
  readonly startupTimeMs?: number | undefined;
  /** Longest sequence, prompt and answer together. @default what the cache holds */
  readonly maxModelLen?: number | undefined;
  /** @default 'lifo' */
  readonly preemptionMode?: PreemptionMode | undefined;
  /** Decides all generated tokens. Workers that continue each other's requests must share it. @default 0n */
  readonly seed?: bigint | undefined;
}

/** The settings that have a default. */
export type MockEngineDefaults = {
  readonly [K in Exclude<keyof MockEngineOptions, 'vocabulary' | 'maxModelLen'>]-?: NonNullable<
    MockEngineOptions[K]
  >;
};

/** What {@link MockEngineOptions} are when not given. */
export const MOCK_ENGINE_DEFAULTS: MockEngineDefaults = {
  numGpuBlocks: 16_384,
  blockSize: 64,
  maxNumSeqs: 256,
  maxNumBatchedTokens: 8_192,
  enablePrefixCaching: true,
  enableChunkedPrefill: true,
  watermark: 0.01,
  speedupRatio: 1,
  decodeSpeedupRatio: 1,
  dpSize: 1,
  startupTimeMs: 0,
  preemptionMode: 'lifo',
  seed: 0n,
};

/**
 * Applies the defaults and checks what native code would silently round or wrap.
 *
 * @throws `config.invalid` naming the setting
 */
export function nativeOptions(options: MockEngineOptions): NativeMockEngineOptions {
  const defaults = MOCK_ENGINE_DEFAULTS;
  const native: NativeMockEngineOptions = {
    vocabulary: options.vocabulary,
    numGpuBlocks: options.numGpuBlocks ?? defaults.numGpuBlocks,
    blockSize: options.blockSize ?? defaults.blockSize,
    maxNumSeqs: options.maxNumSeqs ?? defaults.maxNumSeqs,
    maxNumBatchedTokens: options.maxNumBatchedTokens ?? defaults.maxNumBatchedTokens,
    dpSize: options.dpSize ?? defaults.dpSize,
    ...scheduling(options),
    ...timing(options),
  };
  if (options.maxModelLen !== undefined) native.maxModelLen = options.maxModelLen;
  for (const [name, value] of Object.entries(native)) requireU32(name, value);
  return native;
}

function scheduling(options: MockEngineOptions) {
  const defaults = MOCK_ENGINE_DEFAULTS;
  return {
    enablePrefixCaching: options.enablePrefixCaching ?? defaults.enablePrefixCaching,
    enableChunkedPrefill: options.enableChunkedPrefill ?? defaults.enableChunkedPrefill,
    watermark: options.watermark ?? defaults.watermark,
    preemptionMode: options.preemptionMode ?? defaults.preemptionMode,
    seed: options.seed ?? defaults.seed,
  };
}

function timing(options: MockEngineOptions) {
  const defaults = MOCK_ENGINE_DEFAULTS;
  return {
    speedupRatio: options.speedupRatio ?? defaults.speedupRatio,
    decodeSpeedupRatio: options.decodeSpeedupRatio ?? defaults.decodeSpeedupRatio,
    startupTimeMs: options.startupTimeMs ?? defaults.startupTimeMs,
  };
}

const FRACTIONS: readonly string[] = [
  'watermark',
  'speedupRatio',
  'decodeSpeedupRatio',
  'startupTimeMs',
];

function requireU32(name: string, value: unknown): void {
  if (typeof value !== 'number' || FRACTIONS.includes(name)) return;
  if (Number.isInteger(value) && value >= 1 && value <= 0xffff_ffff) return;
  throw new DynamoError(
    'config.invalid',
    `The mock engine's ${name} is ${value}; it must be a whole number of at least 1.`,
  );
}
