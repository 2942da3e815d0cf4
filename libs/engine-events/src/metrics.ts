/** Metrics of engines' event streams. */
/** What is counted about the messages themselves; what is in them is counted where they are decoded. */
export const ENGINE_EVENTS_METRICS = {
  droppedEventsTotal: {
    kind: 'counter',
    name: 'dynamo_component_kv_publisher_engines_dropped_events_total',
    help: "Batches of events that the engine sent and that could not be had again; the rank's blocks were dropped each time.",
    labels: ['worker_id', 'dp_rank'],
  },
  malformedMessagesTotal: {
    kind: 'counter',
    name: 'dynamo_component_kv_publisher_zmq_malformed_messages_total',
    help: 'Messages on event and replay sockets that are no event frames, by problem: frame-count, sequence-size, no-delimiter.',
    labels: ['worker_id', 'dp_rank', 'problem'],
  },
  replaysTotal: {
    kind: 'counter',
    name: 'dynamo_component_kv_publisher_zmq_replays_total',
    help: "Questions to an engine's replay socket, by outcome: complete, stopped (parts were missing; asked again), timeout, failed.",
    labels: ['worker_id', 'dp_rank', 'outcome'],
  },
} as const;
