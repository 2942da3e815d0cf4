/** Options of the router service: flags, `DYN_*` environment, YAML, help and docs come from here. */
import {
  COMMON_OPTIONS,
  KV_ROUTER_OPTIONS,
  SHUTDOWN_OPTIONS,
  defineOptions,
  option,
  optionGroup,
} from '@dynamo-ts/config';
import type { ConfigOf } from '@dynamo-ts/config';
import { ROUTER_MODES } from '@dynamo-ts/routing';

/** What the process is. */
export const ROUTER_FORMS = ['router', 'indexer', 'slot-tracker', 'selection'] as const;

/** Form of the service. */
export type RouterForm = (typeof ROUTER_FORMS)[number];

const ROUTER_GROUP = optionGroup('Router', {
  routerService: option.choice({
    flag: 'router-service',
    env: 'DYN_ROUTER_SERVICE',
    choices: ROUTER_FORMS,
    default: 'router',
    help: 'What the process is: router (placement for frontends and gRPC callers), or a service over HTTP alone, without discovery: indexer (what is cached where), slot-tracker (what runs where), selection (both, and the choice).',
  }),
  endpoints: option.list({
    flag: 'endpoint',
    env: 'DYN_ROUTER_ENDPOINTS',
    default: [],
    help: 'Endpoints whose instances are known from the start, namespace.component.endpoint; without it backend.generate of the own namespace. Others are learnt when they are asked for. The first is what {namespace}.router.generate passes requests on to.',
  }),
  routerMode: option.choice({
    flag: 'router-mode',
    env: 'DYN_ROUTER_MODE',
    choices: ROUTER_MODES,
    default: 'kv',
    help: 'How an instance is chosen when the request names no mode.',
  }),
  routerBlockSize: option.integer({
    flag: 'router-block-size',
    env: 'DYN_ROUTER_BLOCK_SIZE',
    min: 1,
    help: 'Tokens per KV block of the endpoints, each of which has one router then; without it the model cards say, and an endpoint has a router for each size.',
  }),
  routerLeaseMs: option.duration({
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
    help: 'Address of the public gRPC services dynamo.router.v1.RouterService and dynamo.llm.v1.EngineService.',
  }),
  grpcPort: option.integer({
    flag: 'router-grpc-port',
    env: 'DYN_ROUTER_GRPC_PORT',
    min: -1,
    max: 65_535,
    default: 50_051,
    help: 'Port of the public gRPC services; -1 is off, 0 takes any free port.',
  }),
  routerHttpHost: option.string({
    flag: 'router-http-host',
    env: 'DYN_ROUTER_HTTP_HOST',
    default: '0.0.0.0',
    help: 'Address of the HTTP port.',
  }),
  routerHttpPort: option.integer({
    flag: 'router-http-port',
    env: 'DYN_ROUTER_HTTP_PORT',
    min: -1,
    max: 65_535,
    help: "Port of the calls over HTTP; -1 is off, 0 takes any free port. Without it a router serves none, an indexer 8090, a slot tracker 8091, a selection service 8092, as the reference's do.",
  }),
  indexerPeers: option.list({
    flag: 'indexer-peers',
    env: 'DYN_INDEXER_PEERS',
    default: [],
    help: 'Base URLs of other indexers; the first that answers at the start gives its engines and its index.',
  }),
});

/** Every option of the router service. */
export const ROUTER_OPTIONS = defineOptions({
  ...ROUTER_GROUP,
  ...KV_ROUTER_OPTIONS,
  ...COMMON_OPTIONS,
  ...SHUTDOWN_OPTIONS,
});

/** Configuration of the router service. */
export type RouterConfig = ConfigOf<typeof ROUTER_OPTIONS>;
