/**
 * Per model: above which load a rank takes no more requests (RF 2.3). They can change while the process runs.
 *
 * A rank is busy when any threshold that is set is exceeded; a model without thresholds has no busy ranks.
 */
import { DynamoError } from '@dynamo-ts/base';

/** Thresholds of one model; undefined ones do not apply. */
export interface BusyThreshold {
  /** Share of a rank's KV blocks that running requests hold: 0 to 1. */
  readonly activeDecodeBlocksThreshold?: number | undefined;
  /** Prompt tokens that a rank has not computed yet. */
  readonly activePrefillTokensThreshold?: number | undefined;
  /** The same as a multiple of the rank's `max_num_batched_tokens`. */
  readonly activePrefillTokensThresholdFrac?: number | undefined;
}

/** A change: null takes a threshold away, undefined leaves it as it is. */
export type BusyThresholdPatch = {
  readonly [Name in keyof BusyThreshold]?: BusyThreshold[Name] | null;
};

/** A model with its thresholds. */
export interface ModelBusyThreshold extends BusyThreshold {
  readonly model: string;
}

/** Settings of {@link BusyThresholds}. */
export interface BusyThresholdsOptions {
  /** Thresholds of every model that has none of its own. @throws `config.invalid` when out of range */
  readonly defaults?: BusyThreshold | undefined;
}

const NAMES = [
  'activeDecodeBlocksThreshold',
  'activePrefillTokensThreshold',
  'activePrefillTokensThresholdFrac',
] as const;

/** Callers check that a model exists; this is for those that do not. */
const MOST_MODELS = 10_000;

/** All models' thresholds. */
export class BusyThresholds {
  readonly #defaults: BusyThreshold;
  readonly #byModel = new Map<string, BusyThreshold>();
  #version = 0;

  constructor(options: BusyThresholdsOptions = {}) {
    this.#defaults = options.defaults ?? {};
    const problem = findProblem(this.#defaults);
    if (problem !== undefined) throw new DynamoError('config.invalid', problem);
  }

  /** Grows with every change. */
  get version(): number {
    return this.#version;
  }

  /** What applies to a model. */
  get(model: string): BusyThreshold {
    return this.#byModel.get(model) ?? this.#defaults;
  }

  /** The lowest of all models and of the defaults: a rank below it is busy for nobody. */
  get lowest(): BusyThreshold {
    return lowestOf([this.#defaults, ...this.#byModel.values()]);
  }

  /** Models whose thresholds were set. */
  all(): readonly ModelBusyThreshold[] {
    return Array.from(this.#byModel, ([model, threshold]) => ({ model, ...threshold }));
  }

  /** Changes a model's thresholds. @throws `request.invalid` when one is out of range */
  set(model: string, patch: BusyThresholdPatch): BusyThreshold {
    const old = this.get(model);
    const next: BusyThreshold = Object.fromEntries(
      NAMES.flatMap((name) => {
        const value = patch[name] === undefined ? old[name] : patch[name];
        return typeof value === 'number' ? [[name, value]] : [];
      }),
    );
    const problem = findProblem(next);
    if (problem !== undefined) throw new DynamoError('request.invalid', problem);
    if (!this.#byModel.has(model) && this.#byModel.size >= MOST_MODELS)
      throw new DynamoError('request.invalid', `${MOST_MODELS} models have thresholds already`);
    this.#byModel.set(model, next);
    this.#version += 1;
    return next;
  }
}

/** The lowest of each threshold. */
export function lowestOf(thresholds: Iterable<BusyThreshold>): BusyThreshold {
  const lowest: Record<string, number> = {};
  for (const threshold of thresholds)
    for (const name of NAMES)
      if (threshold[name] !== undefined)
        lowest[name] = Math.min(threshold[name], lowest[name] ?? Infinity);
  return lowest;
}

/** Whether any threshold is set. */
export function hasThreshold(threshold: BusyThreshold): boolean {
  return NAMES.some((name) => threshold[name] !== undefined);
}

function findProblem(threshold: BusyThreshold): string | undefined {
  const { activeDecodeBlocksThreshold: share = 0 } = threshold;
  const { activePrefillTokensThreshold: tokens = 0 } = threshold;
  const { activePrefillTokensThresholdFrac: frac = 0 } = threshold;
  if (!(share >= 0 && share <= 1))
    return `active_decode_blocks_threshold is ${share}; use a share from 0 to 1`;
  if (!(tokens >= 0 && Number.isSafeInteger(tokens)))
    return `active_prefill_tokens_threshold is ${tokens}; use a whole number of tokens from 0`;
  if (!(frac >= 0 && frac < Infinity))
    return `active_prefill_tokens_threshold_frac is ${frac}; use a number from 0`;
  return undefined;
}
