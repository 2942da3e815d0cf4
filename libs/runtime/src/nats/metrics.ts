/** Metrics of the shared NATS connection. */
export const NATS_METRICS = {
  reconnectsTotal: {
    kind: 'counter',
    name: 'dynamo_nats_reconnects_total',
    help: 'Times that the NATS connection was made again after it broke.',
  },
} as const;
