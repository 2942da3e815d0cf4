import type { Lifecycle } from '@dynamo-ts/base';
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import type { HealthState, SystemPage, Telemetry } from '@dynamo-ts/telemetry';

import type { RouterConfig } from './config.ts';

/** What the parts of the service are started with. */
export interface RouterSeat {
  readonly config: RouterConfig;
  readonly telemetry: Telemetry;
  readonly lifecycle: Lifecycle;
  readonly health: HealthState;
  readonly givenRuntime: DistributedRuntime | undefined;
}

/** What was started. */
export interface StartedForm {
  readonly grpcPort?: number | undefined;
  readonly httpPort?: number | undefined;
  /** Further pages of the status server. */
  readonly pages?: ((url: string) => Promise<SystemPage | undefined>) | undefined;
}
