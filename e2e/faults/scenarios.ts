import type { Missing, Scenario } from './scenario.ts';
import { BODY_SIZES, ONE_TRACE, SCALE_TO_ZERO, SILENT_PREFILL } from './scenarios/bodies.ts';
import { BROKER_SCENARIOS, LEASE_LOST } from './scenarios/brokers.ts';
import { CLIENT_ERRORS, SLOW_LORIS, SLOW_READERS, UNKNOWN_MODELS } from './scenarios/clients.ts';
import { DISCONNECTS } from './scenarios/disconnects.ts';
import { ENGINE_SLEEPS } from './scenarios/engine-sleep.ts';
import { FORGOTTEN_REQUESTS } from './scenarios/forgotten-requests.ts';
import { FRONTEND_KILLED, ROUTER_KILLED } from './scenarios/control.ts';
import { HERDING, KV_EVENTS_LOST, ROUTER_WARM_UP } from './scenarios/kv-index.ts';
import { SOAK } from './scenarios/memory.ts';
import { BROKERS_UNREACHABLE, WORKER_CUT } from './scenarios/network.ts';
import { RETRY_STORM } from './scenarios/retry-storm.ts';
import { FRONTEND_DRAINS, ROLLING_RESTART, START_ORDER } from './scenarios/rolling-restart.ts';
import { SPLIT_STREAMS } from './scenarios/split-streams.ts';
import {
  DRAIN_OVERRUN,
  WORKER_DRAINS,
  WORKER_HANGS,
  WORKER_KILLED,
} from './scenarios/worker-death.ts';

/** Every scenario, in the order in which they are run. */
export const SCENARIOS: readonly Scenario[] = [
  CLIENT_ERRORS,
  DISCONNECTS,
  WORKER_KILLED,
  WORKER_HANGS,
  WORKER_CUT,
  FORGOTTEN_REQUESTS,
  WORKER_DRAINS,
  DRAIN_OVERRUN,
  FRONTEND_DRAINS,
  ROLLING_RESTART,
  FRONTEND_KILLED,
  ROUTER_KILLED,
  START_ORDER,
  ...BROKER_SCENARIOS,
  BROKERS_UNREACHABLE,
  LEASE_LOST,
  KV_EVENTS_LOST,
  ROUTER_WARM_UP,
  HERDING,
  SCALE_TO_ZERO,
  ENGINE_SLEEPS,
  BODY_SIZES,
  SILENT_PREFILL,
  SPLIT_STREAMS,
  UNKNOWN_MODELS,
  SLOW_READERS,
  SLOW_LORIS,
  RETRY_STORM,
  ONE_TRACE,
  SOAK,
];

/** Acceptance tests that need parts of the product which do not exist yet. */
export const NOT_YET: readonly Missing[] = [
  {
    outage: 4,
    name: 'a prefill worker killed before its transfer',
    reason: 'needs disaggregated serving',
  },
  { outage: 19, name: 'recorded agent requests', reason: 'needs the Responses and Messages APIs' },
];
