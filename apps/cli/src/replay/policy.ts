/** A policy as it is written on the command line: `kv`, `round-robin`, `kv:displacement-weight=2:temperature=0.1`. */
import { DynamoError } from '@dynamo-ts/base';
import type { CostSettings } from '@dynamo-ts/kv';
import type { ReplayMode } from '@dynamo-ts/sim';

/** What chooses, and with which weights. */
export interface ReplayPolicy {
  /** As it was written. */
  readonly name: string;
  readonly mode: ReplayMode;
  /** Weights that differ from the recorded ones. */
  readonly weights: Partial<CostSettings>;
}

const MODES: readonly ReplayMode[] = [
  'kv',
  'round-robin',
  'random',
  'least-loaded',
  'power-of-two',
];

/** Weights by their names, which are those of the router's options. */
const WEIGHTS: Readonly<Record<string, NumberKey>> = {
  'overlap-score-credit': 'overlapScoreCredit',
  'overlap-score-credit-decay': 'overlapScoreCreditDecay',
  'prefill-load-scale': 'prefillLoadScale',
  'host-cache-hit-weight': 'hostCacheHitWeight',
  'disk-cache-hit-weight': 'diskCacheHitWeight',
  'decode-active-request-weight': 'decodeActiveRequestWeight',
  'displacement-weight': 'displacementWeight',
  temperature: 'temperature',
};

type NumberKey = {
  [Key in keyof CostSettings]: CostSettings[Key] extends number ? Key : never;
}[keyof CostSettings];

/** Reads a policy. @throws config.invalid naming what is not known */
export function parsePolicy(text: string): ReplayPolicy {
  const [name = '', ...settings] = text.split(':');
  const mode = MODES.find((known) => known === name);
  if (mode === undefined) throw invalid(text, `"${name}" is none of ${MODES.join(', ')}`);
  if (settings.length > 0 && mode !== 'kv') throw invalid(text, 'only kv has weights');
  const weights = settings.reduce<Partial<CostSettings>>(
    (sum, each) => ({ ...sum, ...weightOf(text, each) }),
    {},
  );
  return { name: text, mode, weights };
}

function weightOf(text: string, setting: string): Partial<CostSettings> {
  const [name = '', value = ''] = setting.split('=', 2);
  if (name === 'policy' && (value === 'linear' || value === 'lmetric')) return { policy: value };
  const key = WEIGHTS[name];
  if (key === undefined)
    throw invalid(text, `"${name}" is none of policy, ${Object.keys(WEIGHTS).join(', ')}`);
  const number = Number(value);
  if (value === '' || !Number.isFinite(number) || number < 0)
    throw invalid(text, `${name} must be a number from 0, as in ${name}=1`);
  return { [key]: number };
}

function invalid(text: string, problem: string): DynamoError {
  return new DynamoError('config.invalid', `--policy ${text}: ${problem}`);
}
