/** What busy thresholds do. */
export const BUSY_METRICS = {
  busyRanks: {
    kind: 'gauge',
    name: 'dynamo_frontend_router_busy_ranks',
    help: 'Ranks that are kept out of selection because they exceed a busy threshold of the model.',
    labels: ['model'],
  },
} as const;
