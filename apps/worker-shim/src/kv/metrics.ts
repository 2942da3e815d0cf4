/** Metrics of what a worker tells about its engine's KV cache (RP 2.5). */
/** What is counted where engine events are decoded; `worker_id` is the instance id in hex. */
export const KV_PUBLISHER_METRICS = {
  zmqEventsTotal: {
    kind: 'counter',
    name: 'dynamo_component_kv_publisher_zmq_events_total',
    help: 'KV events by stage: received from the engine (event_type stored, removed, cleared), emitted to routers (event_type any; neighbours are joined).',
    labels: ['worker_id', 'stage', 'event_type'],
  },
  zmqFilteredEventsTotal: {
    kind: 'counter',
    name: 'dynamo_component_kv_publisher_zmq_filtered_events_total',
    help: 'Engine events that do not concern prefix matching on this worker, by reason: cache_group, locality, copy (another copy of the block remains).',
    labels: ['worker_id', 'event_type', 'reason'],
  },
  zmqConversionIssuesTotal: {
    kind: 'counter',
    name: 'dynamo_component_kv_publisher_zmq_conversion_issues_total',
    help: 'Engine events that could not be used, by reason: block_size (another one than the model card has), short_tokens, repeated_hash, or what was wrong with the bytes.',
    labels: ['worker_id', 'reason'],
  },
  zmqSuspiciousEventsTotal: {
    kind: 'counter',
    name: 'dynamo_component_kv_publisher_zmq_suspicious_events_total',
    help: 'Signs of an event stream out of order, by reason: gap, stale, restart, unknown_tag, ignored_rank (more ranks than a worker can have), dropped_batch (routers must ask for it).',
    labels: ['worker_id', 'reason'],
  },
  blocks: {
    kind: 'gauge',
    name: 'dynamo_component_kv_publisher_blocks',
    help: "Blocks in the worker's own index of its engine's cache, over all ranks.",
    labels: ['worker_id'],
  },
  indexBytes: {
    kind: 'gauge',
    name: 'dynamo_component_kv_publisher_index_bytes',
    help: 'Memory of that index and of the recent events that are kept for routers.',
    labels: ['worker_id'],
  },
} as const;
