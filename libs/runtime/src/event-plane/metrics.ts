/** Metrics of the event plane. */
export const EVENT_PLANE_METRICS = {
  droppedTotal: {
    kind: 'counter',
    name: 'dynamo_events_dropped_total',
    help: 'Events that were not delivered, by where and why; consumers see them as gaps.',
    labels: ['plane', 'reason'],
  },
  reconnectsTotal: {
    kind: 'counter',
    name: 'dynamo_events_reconnects_total',
    help: 'Connections to the broker or to a publisher that were made again after they broke.',
    labels: ['plane'],
  },
} as const;
