/** What routers of one endpoint tell each other (RP 4.7). */
export const REPLICA_METRICS = {
  peers: {
    kind: 'gauge',
    name: 'dynamo_component_router_replica_peers',
    help: 'Other routers of the endpoint whose bookings this one counts, once for each block size.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint'],
  },
  remoteBookings: {
    kind: 'gauge',
    name: 'dynamo_component_router_replica_remote_bookings',
    help: 'Running requests that other routers have booked.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint'],
  },
  eventsTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_replica_events_total',
    help: 'Booking events: sent, applied, refused (unreadable, or of a block size or stride that no router here has).',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'outcome'],
  },
  resyncsTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_replica_resyncs_total',
    help: 'Times another router was asked for all its bookings: start, gap (events were lost), failed (it did not answer).',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'reason'],
  },
  strideMismatchesTotal: {
    kind: 'counter',
    name: 'dynamo_component_router_active_sequence_stride_mismatches_total',
    help: 'Messages of routers with another DYN_ROUTER_ACTIVE_SEQUENCE_STRIDE, which are dropped.',
    labels: ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint'],
  },
} as const;
