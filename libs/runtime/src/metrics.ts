/** Metrics of served endpoints (RF 5.3). */
/** What the runtime counts per served endpoint; `worker_id` is the instance id in hex. */
export const RUNTIME_METRICS = {
  requestsTotal: {
    kind: 'counter',
    name: 'dynamo_component_requests_total',
    help: 'Requests that reached the endpoint.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'model'],
  },
  requestDurationSeconds: {
    kind: 'histogram',
    name: 'dynamo_component_request_duration_seconds',
    help: 'Time from a request reaching the endpoint to the end of its answer.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'model'],
  },
  timeToFirstResponseSeconds: {
    kind: 'histogram',
    name: 'dynamo_component_time_to_first_response_seconds',
    help: 'Time from a request reaching the endpoint to the first item of its answer.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'model'],
  },
  networkTransitSeconds: {
    kind: 'histogram',
    name: 'dynamo_component_network_transit_seconds',
    help: 'Time from a caller sending a request to its reaching the endpoint, by the clocks of both machines.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'model'],
  },
  inflightRequests: {
    kind: 'gauge',
    name: 'dynamo_component_inflight_requests',
    help: 'Requests that the endpoint works on.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'model'],
  },
  requestBytesTotal: {
    kind: 'counter',
    name: 'dynamo_component_request_bytes_total',
    help: 'Payload bytes of requests.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'model'],
  },
  responseBytesTotal: {
    kind: 'counter',
    name: 'dynamo_component_response_bytes_total',
    help: 'Payload bytes of answers.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'model'],
  },
  errorsTotal: {
    kind: 'counter',
    name: 'dynamo_component_errors_total',
    help: 'Requests that failed, by stage: invalid_message (it broke the protocol, such as a payload over the limit or longer than announced, and no handler saw it), deserialization (the payload cannot be read), generate (the handler failed); or the connection to the caller ended before the first item of the answer (response_stream), before the handler had ended it (publish_response), or before the rest of an ended answer could be sent (publish_final).',
    labels: [
      'dynamo_namespace',
      'dynamo_component',
      'dynamo_endpoint',
      'worker_id',
      'model',
      'error_type',
    ],
  },
  cancellationTotal: {
    kind: 'counter',
    name: 'dynamo_component_cancellation_total',
    help: 'Requests whose caller stopped or killed them, or went away, before the answer was complete.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'model'],
  },
  uptimeSeconds: {
    kind: 'gauge',
    name: 'dynamo_component_uptime_seconds',
    help: 'Time since the endpoint began to be served, set with every request.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id', 'model'],
  },
} as const;
