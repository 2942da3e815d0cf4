/** Metrics of the parts that stand alone, by the names of the reference's indexer. */
/** What an indexer or slot tracker counts. */
export const STANDALONE_METRICS = {
  requestsTotal: {
    kind: 'counter',
    name: 'dynamo_kvindexer_requests_total',
    help: 'Calls over HTTP.',
    labels: ['endpoint', 'method'],
  },
  errorsTotal: {
    kind: 'counter',
    name: 'dynamo_kvindexer_errors_total',
    help: 'Calls that were answered with an error.',
    labels: ['endpoint', 'status_class'],
  },
  durationSeconds: {
    kind: 'histogram',
    name: 'dynamo_kvindexer_request_duration_seconds',
    help: 'Time from receipt of a call to its answer.',
    labels: ['endpoint'],
    buckets: [0.0001, 0.0004, 0.0016, 0.0064, 0.0256, 0.1024, 0.4096, 1.6384, 6.5536],
  },
  workers: {
    kind: 'gauge',
    name: 'dynamo_kvindexer_workers',
    help: 'Registered engines.',
  },
  models: {
    kind: 'gauge',
    name: 'dynamo_kvindexer_models',
    help: 'Models and routing groups with an index.',
  },
  listeners: {
    kind: 'gauge',
    name: 'dynamo_kvindexer_listeners',
    help: 'Event sockets that are listened to.',
    labels: ['status'],
  },
} as const;
