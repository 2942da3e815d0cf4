/** Metrics of the frontend (RF 3.11). Bucket rules `(min, max, count)` are those of the reference. */
import { logBuckets } from '@dynamo-ts/telemetry';

import { BUCKET_RULES } from './bucket-options.ts';

const bounds = (name: keyof typeof BUCKET_RULES): readonly number[] => {
  const { min, max, count } = BUCKET_RULES[name];
  return logBuckets(min, max, count);
};

const STAGE_BUCKETS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5];

/** Every metric that the frontend records. */
export const FRONTEND_METRICS = {
  requestsTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_requests_total',
    help: 'Requests that have ended, by outcome.',
    labels: ['model', 'endpoint', 'request_type', 'status', 'error_type'],
  },
  requestsStartedTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_requests_started_total',
    help: 'Requests whose body was valid.',
    labels: ['model', 'endpoint', 'request_type'],
  },
  activeRequests: {
    kind: 'gauge',
    name: 'dynamo_frontend_active_requests',
    help: 'Requests that have not ended.',
    labels: ['model'],
  },
  inflightRequests: {
    kind: 'gauge',
    name: 'dynamo_frontend_inflight_requests',
    help: 'Deprecated name of active_requests.',
    labels: ['model'],
  },
  queuedRequests: {
    kind: 'gauge',
    name: 'dynamo_frontend_queued_requests',
    help: 'Requests that have not produced a token yet.',
    labels: ['model'],
  },
  disconnectedClients: {
    kind: 'counter',
    name: 'dynamo_frontend_disconnected_clients',
    help: 'Clients that left before their answer was complete.',
  },
  modelCancellationTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_model_cancellation_total',
    help: 'Requests given up because their client left.',
    labels: ['model', 'endpoint', 'request_type'],
  },
  waitingStreams: {
    kind: 'gauge',
    name: 'dynamo_frontend_waiting_streams',
    help: 'Streams whose client does not read: their workers wait for it as soon as it is 64 KiB behind.',
  },
  cancellationLatencySeconds: {
    kind: 'histogram',
    name: 'dynamo_frontend_cancellation_latency_seconds',
    help: 'Time from a client leaving to everything of its request being let go in the frontend, by what was being done: preprocess (template, tokenizer), route (waits for a worker), prefill, decode, or postprocess (the engine had ended). Until the engine lets go: dynamo_component_cancellation_latency_seconds.',
    labels: ['phase'],
    buckets: [0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
  modelRejectionTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_model_rejection_total',
    help: 'Requests refused because all workers were at capacity.',
    labels: ['model', 'endpoint'],
  },
  admissionRejectionTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_admission_rejection_total',
    help: "Requests refused by one of the frontend's own limits: gate request_concurrency (of one model), runtime_task (answers of all models) or request_plane_connection (streams to workers).",
    labels: ['gate', 'model'],
  },
  admissionGateLimit: {
    kind: 'gauge',
    name: 'dynamo_frontend_admission_gate_limit',
    help: 'Limit of a gate that is on.',
    labels: ['gate'],
  },
  admissionGateUsed: {
    kind: 'gauge',
    name: 'dynamo_frontend_admission_gate_used',
    help: 'What counts against a gate now: runtime_task is the answers that are worked on, queued and tokenising ones included; request_plane_connection the streams that are open to workers.',
    labels: ['gate'],
  },
  requestDurationSeconds: {
    kind: 'histogram',
    name: 'dynamo_frontend_request_duration_seconds',
    help: 'Time from receipt of a request to its end.',
    labels: ['model'],
    buckets: bounds('requestDuration'),
  },
  inputSequenceTokens: {
    kind: 'histogram',
    name: 'dynamo_frontend_input_sequence_tokens',
    help: 'Prompt tokens of a request.',
    labels: ['model'],
    buckets: bounds('inputSequence'),
  },
  outputSequenceTokens: {
    kind: 'histogram',
    name: 'dynamo_frontend_output_sequence_tokens',
    help: 'Tokens of an answer.',
    labels: ['model'],
    buckets: bounds('outputSequence'),
  },
  cachedTokens: {
    kind: 'histogram',
    name: 'dynamo_frontend_cached_tokens',
    help: 'Prompt tokens that the engine found in its cache.',
    labels: ['model'],
    buckets: bounds('inputSequence'),
  },
  outputTokensTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_output_tokens_total',
    help: 'Tokens that were sent to clients.',
    labels: ['model'],
  },
  timeToFirstTokenSeconds: {
    kind: 'histogram',
    name: 'dynamo_frontend_time_to_first_token_seconds',
    help: 'Time from receipt of a request to its first token.',
    labels: ['model'],
    buckets: bounds('ttft'),
  },
  interTokenLatencySeconds: {
    kind: 'histogram',
    name: 'dynamo_frontend_inter_token_latency_seconds',
    help: 'Time between tokens; k tokens that come together count k times a k-th of their gap.',
    labels: ['model'],
    buckets: bounds('itl'),
  },
  templateSeconds: {
    kind: 'histogram',
    name: 'dynamo_frontend_template_seconds',
    help: 'Time to read the body of a chat and render its template.',
    labels: ['model'],
    buckets: STAGE_BUCKETS,
  },
  tokenizeSeconds: {
    kind: 'histogram',
    name: 'dynamo_frontend_tokenize_seconds',
    help: 'Time to turn the text of a prompt into token ids.',
    labels: ['model'],
    buckets: STAGE_BUCKETS,
  },
  tokenizerLatencyMs: {
    kind: 'histogram',
    name: 'dynamo_frontend_tokenizer_latency_ms',
    help: 'Time to tokenize a prompt, and mean time to turn one message of an engine into text.',
    labels: ['operation'],
    buckets: [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
  },
  detokenizeTotalUs: {
    kind: 'counter',
    name: 'dynamo_frontend_detokenize_total_us',
    help: 'Microseconds spent on turning token ids into text.',
  },
  detokenizeTokenCount: {
    kind: 'counter',
    name: 'dynamo_frontend_detokenize_token_count',
    help: 'Token ids that were turned into text.',
  },
  stageRequests: {
    kind: 'gauge',
    name: 'dynamo_frontend_stage_requests',
    help: 'Requests that are being prepared (stage preprocess), that the router has not given a worker yet (route), or whose worker has not begun its answer (dispatch).',
    labels: ['stage', 'phase'],
  },
  stageDurationSeconds: {
    kind: 'histogram',
    name: 'dynamo_frontend_stage_duration_seconds',
    help: 'Time that a request spends in a stage before its first token.',
    labels: ['stage'],
    buckets: STAGE_BUCKETS,
  },
  tokenizerCacheHitsTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_tokenizer_cache_hits_total',
    help: 'Prompts of which the tokenizer knew a prefix.',
  },
  tokenizerCacheMissesTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_tokenizer_cache_misses_total',
    help: 'Prompts of which the tokenizer knew no prefix.',
  },
  modelReady: {
    kind: 'gauge',
    name: 'dynamo_frontend_model_ready',
    help: '1 when the model is loaded and has a worker.',
    labels: ['model'],
  },
  modelContextLength: {
    kind: 'gauge',
    name: 'dynamo_frontend_model_context_length',
    help: 'Context length of the model in tokens.',
    labels: ['model'],
  },
  modelKvCacheBlockSize: {
    kind: 'gauge',
    name: 'dynamo_frontend_model_kv_cache_block_size',
    help: 'Tokens per KV cache block.',
    labels: ['model'],
  },
  modelTotalKvBlocks: {
    kind: 'gauge',
    name: 'dynamo_frontend_model_total_kv_blocks',
    help: 'KV cache blocks of one worker.',
    labels: ['model'],
  },
  modelMaxNumSeqs: {
    kind: 'gauge',
    name: 'dynamo_frontend_model_max_num_seqs',
    help: 'Sequences that one worker runs at a time.',
    labels: ['model'],
  },
  modelMaxNumBatchedTokens: {
    kind: 'gauge',
    name: 'dynamo_frontend_model_max_num_batched_tokens',
    help: 'Tokens that one engine step of a worker takes.',
    labels: ['model'],
  },
  modelMigrationLimit: {
    kind: 'gauge',
    name: 'dynamo_frontend_model_migration_limit',
    help: 'How often a request may move to another worker.',
    labels: ['model'],
  },
  eventLoopDelaySeconds: {
    kind: 'histogram',
    name: 'dynamo_frontend_event_loop_delay_seconds',
    help: 'How late a 10 ms timer fires.',
    buckets: [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1],
  },
  eventLoopStallTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_event_loop_stall_total',
    help: 'Times that the 10 ms timer fired more than 5 ms late.',
  },
} as const;
