/** Metrics of a `KvRouter`, beside those of every router (RP 5.5). */

/** What the index holds, and how far it can be trusted, per rank. */
export const KV_INDEX_METRICS = {
  blocks: {
    kind: 'gauge',
    name: 'dynamo_component_router_kv_index_blocks',
    help: 'Blocks that the index holds of a rank.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'dp_rank'],
    maxSeries: 10_000,
  },
  bytes: {
    kind: 'gauge',
    name: 'dynamo_component_router_kv_index_bytes',
    help: "Memory of a rank's part of the index.",
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'dp_rank'],
    maxSeries: 10_000,
  },
  stalenessSeconds: {
    kind: 'gauge',
    name: 'dynamo_component_router_kv_index_staleness_seconds',
    help: "How long a rank's part of the index has been out of date; 0 while every event known of is applied.",
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'dp_rank'],
    maxSeries: 10_000,
  },
  demoted: {
    kind: 'gauge',
    name: 'dynamo_component_router_kv_index_demoted',
    help: '1 while the events of a rank cannot be trusted and it is scored by what was routed to it.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'dp_rank'],
    maxSeries: 10_000,
  },
  gapsTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_kv_index_gaps_total',
    help: 'Times that events of a rank were missing.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'dp_rank'],
    maxSeries: 10_000,
  },
  resyncsTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_kv_index_resyncs_total',
    help: 'Times that a rank was restored from its worker.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'dp_rank'],
    maxSeries: 10_000,
  },
  predictedTokensTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_kv_predicted_cached_tokens_total',
    help: 'Prompt tokens that the index said a rank had in cache, of requests whose engine reported them.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'dp_rank'],
    maxSeries: 10_000,
  },
  reportedTokensTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_kv_reported_cached_tokens_total',
    help: 'Prompt tokens that the engine said it had in cache.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'dp_rank'],
    maxSeries: 10_000,
  },
} as const;

/** What a `KvRouter` measures of itself. */
export const KV_ROUTER_METRICS = {
  eventsApplied: {
    kind: 'counter',
    name: 'dynamo_component_kv_cache_events_applied',
    help: 'KV events that reached the index, by kind and by what became of them.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'event_type', 'status'],
  },
  eventsIgnored: {
    kind: 'counter',
    name: 'dynamo_component_router_kv_events_ignored_total',
    help: 'KV events that the index did not take, or batches of them, by reason: stale (it had them already), unreadable, too_large (asked for anew), unknown_worker (gone, not found yet, or of another router), unknown_rank, block_size (another one than here), impossible.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'reason'],
  },
  hitRate: {
    kind: 'histogram',
    name: 'dynamo_component_router_kv_hit_rate',
    help: 'Share of the prompt that the chosen rank had in cache, as far as the index knew.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'router_id'],
    buckets: [
      0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8,
      0.85, 0.9, 0.95, 1,
    ],
  },
  indexMemoryBytes: {
    kind: 'gauge',
    name: 'dynamo_component_router_kv_memory_bytes',
    help: 'Memory of index, load and decisions together.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'router_id'],
  },
  indexEvictedTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_kv_index_evicted_total',
    help: 'Block holdings dropped to keep the byte budget of the index.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'router_id'],
  },
  blockHashingMs: {
    kind: 'histogram',
    name: 'dynamo_router_overhead_block_hashing_ms',
    help: 'Time of hashing the blocks of a prompt in the router; one that comes hashed is not counted.',
    labels: ['router_id'],
    buckets: [
      0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
      8.192, 16.384,
    ],
  },
  matchingMs: {
    kind: 'histogram',
    name: 'dynamo_router_overhead_indexer_find_matches_ms',
    help: 'Time of searching the index for what every rank holds of a prompt.',
    labels: ['router_id'],
    buckets: [
      0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
      8.192, 16.384,
    ],
  },
  sequenceHashingMs: {
    kind: 'histogram',
    name: 'dynamo_router_overhead_seq_hashing_ms',
    help: "Time of chaining the hashes of a prompt's blocks.",
    labels: ['router_id'],
    buckets: [
      0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
      8.192, 16.384,
    ],
  },
  schedulingMs: {
    kind: 'histogram',
    name: 'dynamo_router_overhead_scheduling_ms',
    help: 'Time of one choice: hash chain, index lookup, cost of every rank, booking, record.',
    labels: ['router_id'],
    buckets: [
      0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
      8.192, 16.384,
    ],
  },
  totalMs: {
    kind: 'histogram',
    name: 'dynamo_router_overhead_total_ms',
    help: 'Time from the call of the router to its answer, waiting in its queue not counted.',
    labels: ['router_id'],
    buckets: [
      0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
      8.192, 16.384,
    ],
  },
  decisionsDroppedTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_decisions_dropped_total',
    help: 'Recorded decisions that the decision log has not got: they left the memory before, or could not be written.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'router_id'],
  },
} as const;

/** Workers as the router of this process sees them. */
export const ROUTED_WORKER_METRICS = {
  activeDecodeBlocks: {
    kind: 'gauge',
    name: 'dynamo_frontend_worker_active_decode_blocks',
    help: 'Distinct blocks that running requests hold on a rank.',
    labels: ['worker_id', 'dp_rank', 'worker_type'],
    maxSeries: 10_000,
  },
  activePrefillTokens: {
    kind: 'gauge',
    name: 'dynamo_frontend_worker_active_prefill_tokens',
    help: 'Prompt tokens that a rank has not computed yet.',
    labels: ['worker_id', 'dp_rank', 'worker_type'],
    maxSeries: 10_000,
  },
  lastTimeToFirstTokenSeconds: {
    kind: 'gauge',
    name: 'dynamo_frontend_worker_last_time_to_first_token_seconds',
    help: 'Time to first token of the request that ended last on a rank.',
    labels: ['worker_id', 'dp_rank', 'worker_type'],
    maxSeries: 10_000,
  },
  lastInputSequenceTokens: {
    kind: 'gauge',
    name: 'dynamo_frontend_worker_last_input_sequence_tokens',
    help: 'Prompt tokens of the request that ended last on a rank.',
    labels: ['worker_id', 'dp_rank', 'worker_type'],
    maxSeries: 10_000,
  },
  lastInterTokenLatencySeconds: {
    kind: 'gauge',
    name: 'dynamo_frontend_worker_last_inter_token_latency_seconds',
    help: 'Mean time between two tokens of the request that ended last on a rank.',
    labels: ['worker_id', 'dp_rank', 'worker_type'],
    maxSeries: 10_000,
  },
} as const;
