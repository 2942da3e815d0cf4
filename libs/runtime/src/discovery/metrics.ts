/** Metrics of the discovery plane. */
export const DISCOVERY_METRICS = {
  leaseLossesTotal: {
    kind: 'counter',
    name: 'dynamo_discovery_lease_losses_total',
    help: 'Leases of this process that the store took away; each was replaced and the records were put back.',
    labels: ['backend'],
  },
  reconnectsTotal: {
    kind: 'counter',
    name: 'dynamo_discovery_reconnects_total',
    help: 'Times that the discovery store answered again after it had been away.',
    labels: ['backend'],
  },
  resyncsTotal: {
    kind: 'counter',
    name: 'dynamo_discovery_watch_resyncs_total',
    help: 'Full lists taken by watches after their first one, to find what a broken watch did not deliver.',
    labels: ['backend'],
  },
  expiredRecordsTotal: {
    kind: 'counter',
    name: 'dynamo_discovery_expired_records_total',
    help: 'Records of processes that stopped their heartbeat, removed by this process.',
    labels: ['backend'],
  },
} as const;
