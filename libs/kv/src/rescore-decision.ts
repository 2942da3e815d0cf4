/** A recorded decision taken again. */
import { rescoreDecision as nativeRescore } from '@dynamo-ts/native';

import { nativeCall } from './native-call.ts';
import type { CostSettings, SelectMode } from './placement-types.ts';

/** Settings to take a decision again with; absent ones are the recorded ones. */
export interface RescoreSettings {
  readonly cost?: CostSettings | undefined;
  readonly mode?: SelectMode | undefined;
}

/** A decision taken again. */
export interface RescoredDecision {
  /** Position of the choice among the recorded candidates. */
  readonly chosen: number;
  readonly reason: string;
  /** Cost of each candidate; only those without rejection mean anything. */
  readonly costs: Float64Array;
}

/**
 * Takes an encoded `Decision` again: with its own settings the choice and every cost are bit-identical, with others it says
 * what would have been chosen.
 *
 * @throws `request.invalid` when the bytes are no decision, or nothing may be chosen with the settings
 */
export function rescoreDecision(
  decision: Uint8Array,
  settings: RescoreSettings = {},
): RescoredDecision {
  return nativeCall(() => nativeRescore(decision, settings));
}
