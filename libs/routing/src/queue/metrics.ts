/** What a router's queue shows per model and class (RP 5.5); absent while nothing is queued in this router. */
export const QUEUE_METRICS = {
  pendingRequests: {
    kind: 'gauge',
    name: 'dynamo_frontend_router_queue_pending_requests',
    help: 'Requests that wait in the router for a worker.',
    labels: ['model', 'worker_type', 'policy_class'],
  },
  pendingIslTokens: {
    kind: 'gauge',
    name: 'dynamo_frontend_router_queue_pending_isl_tokens',
    help: 'Prompt tokens of the requests that wait in the router.',
    labels: ['model', 'worker_type', 'policy_class'],
  },
  pendingCachedTokens: {
    kind: 'gauge',
    name: 'dynamo_frontend_router_queue_pending_cached_tokens',
    help: 'Prompt tokens of the requests that wait in the router which the best worker has in cache.',
    labels: ['model', 'worker_type', 'policy_class'],
  },
  rejectionsTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_router_queue_rejections_total',
    help: 'Requests that the queue refused or gave up: requests, isl_tokens, cached_tokens (limits of the class), capacity (of the queue), timeout, cancelled.',
    labels: ['model', 'worker_type', 'policy_class', 'reason'],
  },
  waitSeconds: {
    kind: 'histogram',
    name: 'dynamo_frontend_router_queue_wait_seconds',
    help: 'Time that a placed request waited in the router.',
    labels: ['model', 'worker_type', 'policy_class'],
    buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
  },
  unknownClassTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_router_queue_unknown_class_total',
    help: 'Requests that named a class or family that the policy does not have; they used the default family.',
    labels: ['model', 'worker_type'],
  },
} as const;
