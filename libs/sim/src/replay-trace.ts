/**
 * Recorded requests through a simulated fleet: a discrete-event loop in Rust joins mock engines with the router, so the same
 * trace and settings give the same choices every time, as fast as the machine can.
 */
import { toDynamoError } from '@dynamo-ts/base';
import { replayTrace as nativeReplayTrace } from '@dynamo-ts/native';
import type {
  NativePlacementOptions,
  NativeReplayLifetimes,
  NativeReplayReport,
} from '@dynamo-ts/native';

import type { MockEngineOptions } from './mock-engine-options.ts';
import { nativeOptions } from './mock-engine-options.ts';

/** Requests in order of arrival; arrays of the same length, but for the hashes. */
export interface ReplayTrace {
  /** Tokens per block that the hashes were made with. */
  readonly blockSize: number;
  /** Since the first one. */
  readonly arrivalMs: Float64Array;
  readonly promptTokens: Uint32Array;
  readonly outputTokens: Uint32Array;
  /** How many of the hashes belong to each. */
  readonly blockCounts: Uint32Array;
  /** Local hashes of complete blocks, one request after the other. */
  readonly blockHashes: BigUint64Array;
}

/** What chooses in a replay. */
export type ReplayMode = 'kv' | 'round-robin' | 'random' | 'least-loaded' | 'power-of-two';

/** Weights of the router's cost. */
export type ReplayCost = Readonly<NativePlacementOptions['cost']>;

/** Positions of the requests in a trace that a worker may take. */
export interface WorkerLifetime {
  readonly first: number;
  readonly last: number;
}

/** Fleet and router of a replay. */
export interface ReplaySettings {
  /** Every worker's engine; its block size is that of the trace. */
  readonly engine: Omit<MockEngineOptions, 'vocabulary' | 'blockSize' | 'dpSize'>;
  readonly workers: number;
  /**
   * When each worker exists, by its number, as positions of the first and the last request that it may take. What it runs
   * then ends by itself. @default all exist for the whole trace
   */
  readonly lifetimes?: readonly WorkerLifetime[] | undefined;
  readonly mode: ReplayMode;
  readonly cost: ReplayCost;
  /** Decides every draw of the router. @default 0n */
  readonly seed?: bigint | undefined;
  /** Recorded arrivals come so many times faster. @default 1 */
  readonly arrivalSpeedup?: number | undefined;
  /** So many requests at a time, instead of recorded arrivals. */
  readonly concurrency?: number | undefined;
}

/** What a fleet made of a trace; arrays in order of the trace. */
export type ReplayResult = Readonly<NativeReplayReport>;

/** Any token will do: the simulated text is not shown. */
const VOCABULARY = Uint32Array.of(65, 66, 67, 68);
const GUESS_TTL_MS = 120_000;
const MOST_GUESSES = 1_048_576;
const EXPIRY_MS = 3_600_000;

/** Sends a trace through a simulated fleet. @throws `config.invalid` when trace and settings do not fit together */
export async function replayTrace(
  trace: ReplayTrace,
  settings: ReplaySettings,
): Promise<ReplayResult> {
  const { blockSize } = trace;
  try {
    return await nativeReplayTrace(trace, {
      engine: nativeOptions({ ...settings.engine, blockSize, vocabulary: VOCABULARY }),
      workers: settings.workers,
      lifetimes: settings.lifetimes && lifetimesOf(settings.lifetimes),
      mode: settings.mode,
      placement: placementOf(settings, blockSize),
      arrivalSpeedup: settings.arrivalSpeedup ?? 1,
      concurrency: settings.concurrency,
    });
  } catch (error) {
    throw toDynamoError(error);
  }
}

function lifetimesOf(lives: readonly WorkerLifetime[]): NativeReplayLifetimes {
  return {
    first: Uint32Array.from(lives, ({ first }) => first),
    last: Uint32Array.from(lives, ({ last }) => last),
  };
}

/** A router as a frontend has it, with the weights of the replay. */
function placementOf(settings: ReplaySettings, blockSize: number): NativePlacementOptions {
  return {
    blockSize,
    endpoint: 'replay',
    routerId: 1n,
    useKvEvents: true,
    indexBudgetBytes: undefined,
    ttlMs: GUESS_TTL_MS,
    maxTreeSize: MOST_GUESSES,
    pruneTargetRatio: 0.8,
    predictedTtlMs: undefined,
    trackActiveBlocks: true,
    trackOutputBlocks: false,
    assumeKvReuse: true,
    activeSequenceStride: 1,
    bookingExpiryMs: EXPIRY_MS,
    cost: settings.cost,
    seed: settings.seed ?? 0n,
    decisionRingBytes: 0,
  };
}
