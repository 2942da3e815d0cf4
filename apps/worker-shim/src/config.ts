/** Options of the worker shim: flags, `DYN_*` environment, YAML, help and docs come from here. */
import {
  COMMON_OPTIONS,
  SHUTDOWN_OPTIONS,
  defineOptions,
  option,
  optionGroup,
} from '@dynamo-ts/config';
import type { ConfigOf } from '@dynamo-ts/config';

import { ENGINE_HINTS, ENGINE_KINDS } from './engines/engine.ts';

const WORKER_GROUP = optionGroup('Worker', {
  component: option.string({
    flag: 'component',
    env: 'DYN_COMPONENT',
    default: 'backend',
    help: 'Component under which this worker registers.',
  }),
  endpoint: option.string({
    flag: 'endpoint',
    env: 'DYN_ENDPOINT',
    help: 'Endpoint to serve, dyn://namespace.component.endpoint; replaces namespace and component.',
  }),
  modelPath: option.path({
    flag: 'model-path',
    aliases: ['model'],
    env: 'DYN_MODEL_PATH',
    help: 'Folder of Hugging Face files or a GGUF file; without it the mocker and echo use a built-in byte-level model.',
  }),
  modelName: option.string({
    flag: 'model-name',
    aliases: ['served-model-name'],
    env: 'DYN_MODEL_NAME',
    help: 'Name that clients use; without it the last part of the model path, or what the engine calls its model.',
  }),
  contextLength: option.integer({
    flag: 'context-length',
    env: 'DYN_CONTEXT_LENGTH',
    min: 1,
    help: 'Most tokens of prompt and answer together; without it what engine and model files say.',
  }),
  customJinjaTemplate: option.path({
    flag: 'custom-jinja-template',
    env: 'DYN_CUSTOM_JINJA_TEMPLATE',
    help: "Jinja file that replaces the model's own chat template.",
  }),
  toolCallParser: option.string({
    flag: 'dyn-tool-call-parser',
    aliases: ['tool-call-parser'],
    env: 'DYN_TOOL_CALL_PARSER',
    default: '',
    help: 'Parser of tool calls that frontends use for this model.',
  }),
  reasoningParser: option.string({
    flag: 'dyn-reasoning-parser',
    aliases: ['reasoning-parser'],
    env: 'DYN_REASONING_PARSER',
    default: '',
    help: 'Parser of reasoning that frontends use for this model.',
  }),
  migrationLimit: option.integer({
    flag: 'migration-limit',
    env: 'DYN_MIGRATION_LIMIT',
    min: 0,
    max: 1023,
    help: 'Lowers the limit of the frontend (how often an answer may move to another worker) for this model.',
  }),
  drainTimeoutMs: option.duration({
    flag: 'graceful-shutdown-timeout',
    env: 'DYN_RUNTIME_GRACEFUL_SHUTDOWN_TIMEOUT_SECS',
    unit: 's',
    min: 0,
    default: 900_000,
    help: 'How long running requests may take to finish after a stop.',
  }),
  exitTimeoutMs: option.duration({
    flag: 'exit-timeout',
    env: 'DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT',
    unit: 's',
    min: 0,
    default: 30_000,
    help: 'How long engine and connections may take to close after that; then the process ends with status 70.',
  }),
});

const HEALTH_GROUP = optionGroup('Health check', {
  healthCheckEnabled: option.boolean({
    flag: 'health-check-enabled',
    env: 'DYN_HEALTH_CHECK_ENABLED',
    help: 'Ask the engine for one token when it has been idle, and be not ready when it does not answer.',
  }),
  healthCheckPayload: option.string({
    flag: 'health-check-payload',
    env: 'DYN_HEALTH_CHECK_PAYLOAD',
    help: 'What the engine is asked then: JSON or @FILE, with token_ids or prompt, max_tokens and temperature.',
  }),
  canaryWaitMs: option.duration({
    flag: 'canary-wait-time',
    env: 'DYN_CANARY_WAIT_TIME',
    unit: 's',
    min: 1,
    default: 10_000,
    help: 'Time without traffic before the engine is asked.',
  }),
  healthCheckTimeoutMs: option.duration({
    flag: 'health-check-request-timeout',
    env: 'DYN_HEALTH_CHECK_REQUEST_TIMEOUT',
    unit: 's',
    min: 1,
    default: 3000,
    help: 'Longest time for the first token of such a request.',
  }),
  busyStallMs: option.duration({
    flag: 'health-check-busy-stall',
    env: 'DYN_HEALTH_CHECK_BUSY_STALL',
    unit: 's',
    min: 1,
    default: 60_000,
    help: 'Longest time in which running requests may give no token.',
  }),
});

const ENGINE_GROUP = optionGroup('Engine', {
  engine: option.choice({
    flag: 'engine',
    env: 'DYN_ENGINE',
    choices: ENGINE_KINDS,
    hints: ENGINE_HINTS,
    default: 'mocker',
    help: 'What answers: a model of an engine, the prompt itself, llama.cpp, or any OpenAI-compatible server.',
  }),
  engineUrl: option.string({
    flag: 'engine-url',
    env: 'DYN_ENGINE_URL',
    help: 'Address of a running engine to attach to; without it llama-server is started.',
  }),
  engineCommand: option.string({
    flag: 'engine-command',
    env: 'DYN_ENGINE_COMMAND',
    default: 'llama-server',
    help: 'Program that is started as the engine, with arguments if any.',
  }),
  searchPath: option.string({
    flag: 'search-path',
    env: 'PATH',
    default: '/usr/local/bin:/usr/bin:/bin',
    hidden: true,
    help: 'Folders where the program is looked for.',
  }),
  engineArgs: option.string({
    flag: 'engine-args',
    env: 'DYN_ENGINE_ARGS',
    default: '',
    help: 'Further arguments for a started engine, separated by spaces.',
  }),
  engineInput: option.choice({
    flag: 'engine-input',
    env: 'DYN_ENGINE_INPUT',
    choices: ['auto', 'tokens', 'text'],
    default: 'auto',
    help: 'Whether the engine is sent token ids or text; auto takes ids where engine and model files allow it.',
  }),
  engineApiKey: option.string({
    flag: 'engine-api-key',
    env: 'DYN_ENGINE_API_KEY',
    secret: true,
    help: 'Bearer token for the engine.',
  }),
  engineStartupTimeoutMs: option.duration({
    flag: 'engine-startup-timeout',
    env: 'DYN_ENGINE_STARTUP_TIMEOUT_SECS',
    unit: 's',
    min: 1000,
    default: 1_800_000,
    help: 'How long an engine may take until it answers; then it is started again.',
  }),
  engineRequestLimit: option.integer({
    flag: 'engine-request-limit',
    env: 'DYN_ENGINE_REQUEST_LIMIT',
    min: 1,
    help: 'Most requests that the engine is given at once; further ones wait in the worker, and beyond its queue they are refused and tried elsewhere. Without it there is no limit.',
  }),
  requestQueueLimit: option.integer({
    flag: 'request-queue-limit',
    env: 'DYN_DYNAMO_REQUEST_QUEUE_LIMIT',
    min: 2,
    default: 16,
    help: 'Most requests that wait in the worker for an engine at its request limit.',
  }),
  engineStallMs: option.duration({
    flag: 'engine-stall-timeout',
    env: 'DYN_ENGINE_STALL_TIMEOUT_SECS',
    unit: 's',
    min: 0,
    default: 60_000,
    help: 'An engine that gives no token for this long although answers have begun is taken for hung: its requests move to other workers, and it is started again, or used again once it answers. A single request that gets none for so long while others do moves alone; 0 is never.',
  }),
  engineFirstTokenMs: option.duration({
    flag: 'engine-first-token-timeout',
    env: 'DYN_ENGINE_FIRST_TOKEN_TIMEOUT_SECS',
    unit: 's',
    min: 0,
    default: 600_000,
    help: 'The same while no answer has begun: longer than the longest prefill; 0 is never.',
  }),
  sleepModeLevel: option.integer({
    flag: 'sleep-mode-level',
    env: 'DYN_VLLM_SLEEP_MODE_LEVEL',
    min: 1,
    max: 3,
    default: 1,
    help: 'How deep the engine sleeps when POST /engine/sleep of the status server names no level: 1 keeps the weights in memory of the CPU, 2 drops them, 3 drops everything.',
  }),
  tokenEchoDelayMs: option.duration({
    flag: 'token-echo-delay',
    env: 'DYN_TOKEN_ECHO_DELAY_MS',
    unit: 'ms',
    min: 0,
    default: 10,
    help: 'Time between two tokens of the echo engine.',
  }),
});

const KV_EVENTS_GROUP = optionGroup('KV events', {
  kvEventsEndpoint: option.list({
    flag: 'kv-events-endpoint',
    env: 'DYN_KV_EVENTS_ENDPOINT',
    help: "ZeroMQ address of an engine's KV events, tcp://host:port: one per data-parallel rank, or one whose port rises with the rank; with * as host the engine connects to this worker. Without it vLLM is asked where they are.",
  }),
  kvReplayEndpoint: option.list({
    flag: 'kv-replay-endpoint',
    env: 'DYN_KV_REPLAY_ENDPOINT',
    help: 'Address where the engine replays events that were missed, in the same form; without it a gap drops what is known of that rank.',
  }),
  kvEventsTopic: option.string({
    flag: 'kv-events-topic',
    env: 'DYN_KV_EVENTS_TOPIC',
    help: 'Only events whose ZeroMQ topic begins so; without it all.',
  }),
});

const MOCKER_GROUP = optionGroup('Mocker', {
  blockSize: option.integer({
    flag: 'block-size',
    aliases: ['kv-cache-block-size'],
    env: 'DYN_KV_CACHE_BLOCK_SIZE',
    min: 1,
    default: 64,
    help: 'Tokens per KV cache block; an engine that has its own block size wins.',
  }),
  numGpuBlocks: option.integer({
    flag: 'num-gpu-blocks-override',
    aliases: ['num-gpu-blocks'],
    env: 'DYN_MOCKER_NUM_GPU_BLOCKS',
    min: 1,
    default: 16_384,
    help: 'KV cache blocks of the mocker, per data-parallel rank.',
  }),
  maxNumSeqs: option.integer({
    flag: 'max-num-seqs',
    env: 'DYN_MOCKER_MAX_NUM_SEQS',
    min: 1,
    default: 256,
    help: 'Most requests that the mocker runs at once, per rank.',
  }),
  maxNumBatchedTokens: option.integer({
    flag: 'max-num-batched-tokens',
    env: 'DYN_MOCKER_MAX_NUM_BATCHED_TOKENS',
    min: 1,
    default: 8192,
    help: 'Most tokens of one step of the mocker.',
  }),
  maxModelLen: option.integer({
    flag: 'max-model-len',
    env: 'DYN_MAX_MODEL_LEN',
    min: 1,
    help: 'Context length of the mocker and of echo; without it that of the model, 131072 for the built-in one.',
  }),
  speedupRatio: option.number({
    flag: 'speedup-ratio',
    env: 'DYN_MOCKER_SPEEDUP_RATIO',
    min: 0,
    default: 1,
    help: 'How much faster than the modelled engine the mocker is; 0 is as fast as it can.',
  }),
  decodeSpeedupRatio: option.number({
    flag: 'decode-speedup-ratio',
    env: 'DYN_MOCKER_DECODE_SPEEDUP_RATIO',
    min: 0,
    default: 1,
    help: 'The same for decoding alone, on top of the speed-up ratio.',
  }),
  dataParallelSize: option.integer({
    flag: 'data-parallel-size',
    aliases: ['dp-size'],
    env: 'DYN_MOCKER_DATA_PARALLEL_SIZE',
    min: 1,
    default: 1,
    help: 'Data-parallel ranks of the mocker, each with its own cache and scheduler; or of the engine behind --engine-url when it does not say how many it has.',
  }),
  startupTimeMs: option.duration({
    flag: 'startup-time',
    env: 'DYN_MOCKER_STARTUP_TIME_SECS',
    unit: 's',
    min: 0,
    default: 0,
    help: 'How long the mocker pretends to load its model.',
  }),
  enablePrefixCaching: option.boolean({
    flag: 'enable-prefix-caching',
    env: 'DYN_MOCKER_ENABLE_PREFIX_CACHING',
    default: true,
    help: 'Whether the mocker reuses cached prefixes.',
  }),
  enableChunkedPrefill: option.boolean({
    flag: 'enable-chunked-prefill',
    env: 'DYN_MOCKER_ENABLE_CHUNKED_PREFILL',
    default: true,
    help: 'Whether the mocker splits long prompts over several steps.',
  }),
  watermark: option.number({
    flag: 'watermark',
    env: 'DYN_MOCKER_WATERMARK',
    min: 0,
    max: 1,
    default: 0.01,
    help: 'Share of KV blocks that the mocker keeps free when it admits a request.',
  }),
  preemptionMode: option.choice({
    flag: 'preemption-mode',
    env: 'DYN_MOCKER_PREEMPTION_MODE',
    choices: ['lifo', 'fifo'],
    default: 'lifo',
    help: 'Which request the mocker preempts when blocks run out: the newest or the oldest.',
  }),
});

/** All options of the worker shim. */
export const WORKER_OPTIONS = defineOptions({
  ...WORKER_GROUP,
  ...ENGINE_GROUP,
  ...KV_EVENTS_GROUP,
  ...MOCKER_GROUP,
  ...HEALTH_GROUP,
  ...SHUTDOWN_OPTIONS,
  ...COMMON_OPTIONS,
});

/** Configuration of one worker shim. */
export type WorkerConfig = ConfigOf<typeof WORKER_OPTIONS>;
