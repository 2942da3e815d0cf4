/**
 * Options that change the bounds of histograms (RF 3.11): `DYN_METRICS_{NAME}_{MIN,MAX,COUNT}`, put through the bucket rule
 * of the reference.
 */
import { option, optionGroup } from '@dynamo-ts/config';
import type { Option } from '@dynamo-ts/config';
import { logBuckets } from '@dynamo-ts/telemetry';

/** Bounds of a histogram by the bucket rule. */
interface BucketRule {
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/** Rules of the histograms whose bounds can be changed, with the reference's defaults. */
export const BUCKET_RULES = {
  requestDuration: { min: 1, max: 512, count: 10 },
  inputSequence: { min: 50, max: 128_000, count: 12 },
  outputSequence: { min: 50, max: 32_000, count: 10 },
  ttft: { min: 0.001, max: 480, count: 18 },
  itl: { min: 0.001, max: 2, count: 13 },
} as const satisfies Readonly<Record<string, BucketRule>>;

/** A histogram whose bounds can be changed. */
export type BucketName = keyof typeof BUCKET_RULES;

/** Bounds of those histograms. */
export type Buckets = Readonly<Record<BucketName, readonly number[]>>;

type Field = 'Min' | 'Max' | 'Count';
type BucketOptions<Name extends string> = Readonly<
  Record<`${Name}Buckets${Field}`, Option<number>>
>;

/** Options of all these histograms. */
export const BUCKET_OPTIONS = optionGroup('Histogram bounds', {
  ...bucketOptions('requestDuration', 'REQUEST_DURATION', 'request duration in seconds'),
  ...bucketOptions('inputSequence', 'INPUT_SEQUENCE', 'prompt tokens'),
  ...bucketOptions('outputSequence', 'OUTPUT_SEQUENCE', 'answer tokens'),
  ...bucketOptions('ttft', 'TTFT', 'time to first token in seconds'),
  ...bucketOptions('itl', 'ITL', 'inter-token latency in seconds'),
});

/** Reads the bounds from the configuration. @throws `config.invalid` when a rule makes no scale */
export function bucketsOf(
  config: Readonly<Record<`${BucketName}Buckets${Field}`, number>>,
): Buckets {
  const bounds = (name: BucketName): readonly number[] =>
    logBuckets(
      config[`${name}BucketsMin`],
      config[`${name}BucketsMax`],
      config[`${name}BucketsCount`],
    );
  return {
    requestDuration: bounds('requestDuration'),
    inputSequence: bounds('inputSequence'),
    outputSequence: bounds('outputSequence'),
    ttft: bounds('ttft'),
    itl: bounds('itl'),
  };
}

function bucketOptions<const Name extends BucketName>(
  name: Name,
  env: string,
  what: string,
): BucketOptions<Name> {
  const rule = BUCKET_RULES[name];
  const flag = `metrics-${env.toLowerCase().replaceAll('_', '-')}`;
  const field = (key: keyof BucketRule, help: string, max?: number): Option<number> =>
    option.number({
      flag: `${flag}-${key}`,
      env: `DYN_METRICS_${env}_${key.toUpperCase()}`,
      default: rule[key],
      min: 0,
      ...(max === undefined ? {} : { max }),
      help: `${help} of the histogram of ${what}.`,
      hidden: true,
    });
  return {
    [`${name}BucketsMin`]: field('min', 'Smallest bound above 0'),
    [`${name}BucketsMax`]: field('max', 'Largest bound'),
    [`${name}BucketsCount`]: field('count', 'Number of bounds', 512),
  } as BucketOptions<Name>; // computed keys lose their literal type
}
