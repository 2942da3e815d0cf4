/** Metrics that the registry keeps about itself. */
export const TELEMETRY_METRICS = {
  foldedSeriesTotal: {
    kind: 'counter',
    name: 'dynamo_metrics_folded_series_total',
    help: 'Recordings whose label set did not fit the limit of the metric and went to the series "other".',
    labels: ['metric'],
  },
} as const;
