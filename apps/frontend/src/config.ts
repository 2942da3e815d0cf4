/** Options of the frontend: flags, `DYN_*` environment, YAML, help and docs come from here. */
import {
  COMMON_OPTIONS,
  HTTP_ADDRESS_OPTIONS,
  KV_ROUTER_OPTIONS,
  defineOptions,
  option,
  optionGroup,
} from '@dynamo-ts/config';
import type { ConfigOf } from '@dynamo-ts/config';

import { BUCKET_OPTIONS } from './bucket-options.ts';

const HTTP_OPTIONS = optionGroup('HTTP', {
  ...HTTP_ADDRESS_OPTIONS,
  httpBodyLimitMb: option.number({
    flag: 'http-body-limit-mb',
    env: 'DYN_HTTP_BODY_LIMIT_MB',
    min: 0.001,
    max: 1024,
    default: 45,
    help: 'Largest request body in MiB; a larger one is answered with 413.',
  }),
  httpGracefulShutdownTimeoutMs: option.duration({
    flag: 'http-graceful-shutdown-timeout',
    env: 'DYN_HTTP_GRACEFUL_SHUTDOWN_TIMEOUT_SECS',
    unit: 's',
    min: 0,
    default: 5000,
    help: 'How long admitted requests may take to finish after a stop; new ones are answered with 503 meanwhile.',
  }),
  httpSseKeepAliveIntervalMs: option.duration({
    flag: 'http-sse-keep-alive-interval',
    env: 'DYN_HTTP_SSE_KEEP_ALIVE_INTERVAL_MS',
    unit: 'ms',
    min: 0,
    default: 15_000,
    help: 'A silent stream gets a comment after this long; 0 is off.',
  }),
  httpOverloadStatusCode: option.integer({
    flag: 'http-overload-status-code',
    env: 'DYN_HTTP_OVERLOAD_STATUS_CODE',
    min: 400,
    max: 599,
    default: 529,
    help: 'Status of an answer when all workers are at capacity.',
  }),
  requestConcurrencyLimit: option.integer({
    flag: 'rejection-frontend-request-concurrency-limit',
    env: 'DYN_REJECTION_FRONTEND_REQUEST_CONCURRENCY_LIMIT',
    min: 1,
    help: 'Most requests of one model that this frontend has at once; further ones are answered with 503 before their prompt is looked at. Without it there is no limit.',
  }),
  runtimeTaskLimit: option.integer({
    flag: 'rejection-frontend-runtime-task-limit',
    env: 'DYN_REJECTION_FRONTEND_RUNTIME_TASK_LIMIT',
    min: 1,
    help: 'The same for answers of all models that this frontend works on at once, in whatever phase (a request with n = 4 is four): each of them is what a task of the runtime is elsewhere. Without it there is no limit.',
  }),
  requestPlaneConnectionLimit: option.integer({
    flag: 'rejection-frontend-request-plane-connection-limit',
    env: 'DYN_REJECTION_FRONTEND_REQUEST_PLANE_CONNECTION_LIMIT',
    min: 1,
    help: 'The same for streams that this frontend has open to workers: requests share one connection to each worker, so that what counts is their streams in it. Requests that wait for a worker do not count. Without it there is no limit.',
  }),
  ignoreUnsupportedFields: option.boolean({
    flag: 'ignore-openai-fe-unsupported-fields',
    env: 'DYN_IGNORE_OPENAI_FE_UNSUPPORTED_FIELDS',
    help: 'Ignore unknown fields of a request; without it they are answered with 400.',
  }),
  forceIncludeUsage: option.boolean({
    flag: 'enable-force-include-usage',
    env: 'DYN_ENABLE_FORCE_INCLUDE_USAGE',
    help: 'End every stream with a usage chunk, asked for or not.',
  }),
  disableAdminApi: option.boolean({
    flag: 'disable-frontend-admin-api',
    env: 'DYN_DISABLE_FRONTEND_ADMIN_API',
    help: 'Serve no routes that change the service, such as /busy_threshold.',
  }),
  disableNvext: option.boolean({
    flag: 'disable-frontend-nvext',
    env: 'DYN_DISABLE_FRONTEND_NVEXT',
    help: 'Drop the extension object nvext of requests.',
  }),
  requestTemplatePath: option.path({
    flag: 'request-template',
    env: 'DYN_REQUEST_TEMPLATE',
    help: 'JSON file with model, temperature and max_completion_tokens for requests that leave them out.',
  }),
  metadataHeader: option.string({
    flag: 'metadata-header',
    env: 'DYN_METADATA_HEADER',
    default: 'x-dynamo-meta-',
    help: 'Request headers that begin with this go to the worker; 64 of them and 64 KiB at most.',
  }),
});

const path = (flag: string, env: string, fallback: string, what: string) =>
  option.string({ flag, env, default: fallback, help: `Path of ${what}.`, hidden: true });

const PATH_OPTIONS = optionGroup('HTTP', {
  chatPath: path('http-chat-path', 'DYN_HTTP_SVC_CHAT_PATH', '/v1/chat/completions', 'chat'),
  completionsPath: path(
    'http-completions-path',
    'DYN_HTTP_SVC_CMP_PATH',
    '/v1/completions',
    'text completions',
  ),
  modelsPath: path('http-models-path', 'DYN_HTTP_SVC_MODELS_PATH', '/v1/models', 'the models'),
  healthPath: path('http-health-path', 'DYN_HTTP_SVC_HEALTH_PATH', '/health', 'readiness'),
  livePath: path('http-live-path', 'DYN_HTTP_SVC_LIVE_PATH', '/live', 'liveness'),
  metricsPath: path('http-metrics-path', 'DYN_HTTP_SVC_METRICS_PATH', '/metrics', 'the metrics'),
});

const MODEL_OPTIONS = optionGroup('Models', {
  namespace: option.string({
    flag: 'namespace',
    env: 'DYN_NAMESPACE',
    help: 'Serve only models of this namespace; without it those of all.',
  }),
  modelLingerMs: option.duration({
    flag: 'model-linger',
    env: 'DYN_MODEL_LINGER_SECS',
    unit: 's',
    min: 0,
    default: 60_000,
    help: 'How long a model whose workers have all left stays known: 503 within that time, 404 after it; from 25d on it is never forgotten.',
  }),
  listUnavailableModels: option.boolean({
    flag: 'list-unavailable-models',
    env: 'DYN_LIST_UNAVAILABLE_MODELS',
    help: 'List models that are known and have no worker now, because they sleep or were scaled to zero, with "available": false; without it they are left out.',
  }),
  modelCacheDir: option.path({
    flag: 'model-cache-dir',
    env: 'DYN_MODEL_CACHE_DIR',
    help: 'Where files fetched from workers are kept; without it ~/.cache/dynamo/mdc.',
  }),
  migrationLimit: option.integer({
    flag: 'migration-limit',
    env: 'DYN_MIGRATION_LIMIT',
    min: 0,
    max: 0xffff_ffff,
    default: 3,
    help: 'How often a request whose worker broke after its first token may move to another; 0 is never.',
  }),
  migrationMaxSeqLen: option.integer({
    flag: 'migration-max-seq-len',
    env: 'DYN_MIGRATION_MAX_SEQ_LEN',
    min: 1,
    help: 'Longest sequence in tokens, prompt and answer, that may move; without it all may.',
  }),
  migrationWaitMs: option.duration({
    flag: 'migration-wait',
    env: 'DYN_MIGRATION_WAIT_SECS',
    unit: 's',
    min: 0,
    default: 10_000,
    help: 'How long a broken answer waits for another worker when there is none, for example while workers restart.',
  }),
});

const ROUTING_OPTIONS = optionGroup('Routing', {
  routerMode: option.choice({
    flag: 'router-mode',
    env: 'DYN_ROUTER_MODE',
    choices: ['kv', 'round-robin', 'random', 'power-of-two', 'least-loaded', 'direct'],
    hints: { 'device-aware-weighted': 'mixed fleets of CPU and GPU workers are not supported' },
    default: 'kv',
    help: 'How a worker is chosen: by what it has cached and its load, or without looking at prompts.',
  }),
  streamTimeoutMs: option.duration({
    flag: 'http-backend-stream-timeout',
    env: 'DYN_HTTP_BACKEND_STREAM_TIMEOUT_SECS',
    unit: 's',
    min: 0,
    default: 0,
    help: 'Longest silence of a worker before its request is given up; 0 is no limit.',
  }),
  routerPlacement: option.choice({
    flag: 'router-placement',
    env: 'DYN_ROUTER_PLACEMENT',
    choices: ['in-process', 'service'],
    default: 'in-process',
    help: 'Whether the choice is made here or by the router service.',
  }),
});

/** All options of the frontend. */
export const FRONTEND_OPTIONS = defineOptions({
  ...COMMON_OPTIONS,
  ...HTTP_OPTIONS,
  ...PATH_OPTIONS,
  ...MODEL_OPTIONS,
  ...ROUTING_OPTIONS,
  ...KV_ROUTER_OPTIONS,
  ...BUCKET_OPTIONS,
});

/** Configuration of the frontend. */
export type FrontendConfig = ConfigOf<typeof FRONTEND_OPTIONS>;
