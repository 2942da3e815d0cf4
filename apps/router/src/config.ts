/** Options of the router service: flags, `DYN_*` environment, YAML, help and docs come from here. */
import {
  COMMON_OPTIONS,
  SHUTDOWN_OPTIONS,
  defineOptions,
  option,
  optionGroup,
} from '@dynamo-ts/config';
import type { ConfigOf } from '@dynamo-ts/config';
import { ROUTER_MODES } from '@dynamo-ts/routing';

const ROUTER_GROUP = optionGroup('Router', {
  endpoints: option.list({
    flag: 'endpoint',
    env: 'DYN_ROUTER_ENDPOINTS',
    default: [],
    help: 'Endpoints whose instances are known from the start, namespace.component.endpoint; without it backend.generate of the own namespace. Others are learnt when they are asked for.',
  }),
  routerMode: option.choice({
    flag: 'router-mode',
    env: 'DYN_ROUTER_MODE',
    choices: ROUTER_MODES,
    hints: { kv: 'routing by cached prefixes is not offered by this version' },
    default: 'round-robin',
    help: 'How an instance is chosen when the request names no mode.',
  }),
  bookingExpiryMs: option.duration({
    flag: 'router-active-request-expiry',
    env: 'DYN_ROUTER_ACTIVE_REQUEST_EXPIRY_SECS',
    unit: 's',
    min: 1000,
    default: 3_600_000,
    help: 'Age at which the booking of a request that nobody gave back goes; longer than the longest request.',
  }),
  leaseMs: option.duration({
    flag: 'router-lease',
    env: 'DYN_ROUTER_LEASE_SECS',
    unit: 's',
    min: 1000,
    default: 300_000,
    help: 'How long the booking of a public caller stays when it says nothing about the request; each call about it and Renew begin the time anew.',
  }),
  grpcHost: option.string({
    flag: 'router-grpc-host',
    env: 'DYN_ROUTER_GRPC_HOST',
    default: '0.0.0.0',
    help: 'Address of the public gRPC service dynamo.router.v1.RouterService.',
  }),
  grpcPort: option.integer({
    flag: 'router-grpc-port',
    env: 'DYN_ROUTER_GRPC_PORT',
    min: -1,
    max: 65_535,
    default: 50_051,
    help: 'Port of the public gRPC service; -1 is off, 0 takes any free port.',
  }),
});

/** Every option of the router service. */
export const ROUTER_OPTIONS = defineOptions({
  ...ROUTER_GROUP,
  ...COMMON_OPTIONS,
  ...SHUTDOWN_OPTIONS,
});

/** Configuration of the router service. */
export type RouterConfig = ConfigOf<typeof ROUTER_OPTIONS>;
