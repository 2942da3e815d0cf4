/** Metrics of placement and dispatch (RP 5.5). */
/** What a router counts per endpoint; `router_id` is the instance id of its process in hex. */
export const ROUTER_METRICS = {
  requestsStartedTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_requests_started_total',
    help: 'Requests that were given an instance.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'router_id'],
  },
  requestsTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_requests_total',
    help: 'Requests whose booking was given back, however they ended.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'router_id'],
  },
  timeToFirstTokenSeconds: {
    kind: 'histogram',
    name: 'dynamo_component_router_time_to_first_token_seconds',
    help: 'Time from the choice of an instance to its first token.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'router_id'],
    buckets: [
      0.001, 0.0022, 0.0047, 0.01, 0.022, 0.047, 0.1, 0.22, 0.47, 1, 2.2, 4.7, 10, 22, 47, 100, 220,
      480,
    ],
  },
  interTokenLatencySeconds: {
    kind: 'histogram',
    name: 'dynamo_component_router_inter_token_latency_seconds',
    help: 'Mean time between two tokens of an answer.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'router_id'],
    buckets: [0.001, 0.0019, 0.0036, 0.0067, 0.013, 0.024, 0.045, 0.084, 0.16, 0.3, 0.56, 1, 2],
  },
  outputSequenceTokens: {
    kind: 'histogram',
    name: 'dynamo_component_router_output_sequence_tokens',
    help: 'Tokens of the answers.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'router_id'],
    buckets: [50, 100, 210, 420, 880, 1800, 3700, 7700, 16_000, 32_000],
  },
  inputSequenceTokens: {
    kind: 'histogram',
    name: 'dynamo_component_router_input_sequence_tokens',
    help: 'Prompt tokens of the requests that were given an instance.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'router_id'],
    buckets: [50, 100, 200, 420, 850, 1700, 3500, 7200, 15_000, 30_000, 62_000, 128_000],
  },
  activeRequests: {
    kind: 'gauge',
    name: 'dynamo_component_router_active_requests',
    help: 'Bookings that have not been given back.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'router_id'],
  },
  expiredTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_expired_bookings_total',
    help: 'Bookings that nobody gave back within DYN_ROUTER_ACTIVE_REQUEST_EXPIRY_SECS.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'router_id'],
  },
} as const;

/** What a dispatcher counts. */
export const DISPATCH_METRICS = {
  retriesTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_dispatch_retries_total',
    help: 'Times a request went to another worker before its first token, by the error code of the failed one.',
    labels: ['dynamo_endpoint', 'reason'],
  },
  placementFallbackTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_placement_fallback_total',
    help: 'Requests placed in process because no router service answered.',
    labels: ['dynamo_endpoint'],
  },
} as const;
