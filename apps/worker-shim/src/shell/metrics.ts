/** Metrics of how a worker's engine keeps up with what it is asked to do and to leave. */
/** What is counted around an engine; `worker_id` is the instance id in hex. */
export const WORKER_METRICS = {
  cancellationLatencySeconds: {
    kind: 'histogram',
    name: 'dynamo_component_cancellation_latency_seconds',
    help: 'Time from a request being given up (a client that left: from its connection closing at the frontend, by the clocks of both machines) to the engine confirming that it no longer works on it, by phase: queued, prefill, decode. Mocker and echo confirm by themselves; llama-server by its busy slots, vLLM by its running and waiting requests; of other engines the connection has closed.',
    labels: ['worker_id', 'engine', 'phase'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  },
  cancellationUnconfirmedTotal: {
    kind: 'counter',
    name: 'dynamo_component_cancellation_unconfirmed_total',
    help: 'Requests that were given up and on which the engine still seemed to work a minute later, by phase.',
    labels: ['worker_id', 'engine', 'phase'],
  },
  engineSleeping: {
    kind: 'gauge',
    name: 'dynamo_component_engine_sleeping',
    help: 'Whether the engine has been put to sleep: 1 while it sleeps.',
    labels: ['worker_id', 'engine'],
  },
  engineStallsTotal: {
    kind: 'counter',
    name: 'dynamo_component_engine_stalls_total',
    help: 'Times that the engine gave no token for too long although requests ran, and was closed and started again.',
    labels: ['worker_id', 'engine'],
  },
  requestsStuckTotal: {
    kind: 'counter',
    name: 'dynamo_component_requests_stuck_total',
    help: 'Requests that the engine gave no token for too long although it served others; they moved to other workers.',
    labels: ['worker_id', 'engine'],
  },
  requestsRefusedTotal: {
    kind: 'counter',
    name: 'dynamo_component_requests_refused_total',
    help: 'Requests refused because the worker had its most requests running and waiting.',
    labels: ['worker_id', 'engine'],
  },
} as const;
