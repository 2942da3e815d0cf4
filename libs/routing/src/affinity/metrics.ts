/** What session affinity does; absent while it is off. */
export const AFFINITY_METRICS = {
  sessions: {
    kind: 'gauge',
    name: 'dynamo_component_router_session_bindings',
    help: 'Sessions that are bound to a worker.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint'],
  },
  endedTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_session_bindings_ended_total',
    help: 'Bindings that ended: expired (idle for the TTL), failed (a request failed on the worker), gone (the worker left), moved (another router had bound the session before, or soft mode chose another worker), evicted (too many sessions).',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'reason'],
  },
} as const;
