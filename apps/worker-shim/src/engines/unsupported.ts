import { DynamoError } from '@dynamo-ts/base';

/** A feature and whether the request uses it. */
export type FeatureUse = readonly [feature: string, used: boolean];

/** Refuses a request that uses something which this engine does not have. @throws `request.invalid` naming the feature */
export function refuseUnsupported(engine: string, features: readonly FeatureUse[]): void {
  for (const [feature, used] of features) {
    if (used) throw new DynamoError('request.invalid', `the ${engine} engine has no ${feature}`);
  }
}
