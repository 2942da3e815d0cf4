/** Metrics of requests that move from one worker to another (RF 2.2). */
export const MIGRATION_METRICS = {
  modelMigrationTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_model_migration_total',
    help: 'Times a request moved on from a worker that failed it: before its first token (new_request), or in mid-answer (ongoing_request).',
    labels: ['model', 'migration_type'],
  },
  modelMigrationDurationSeconds: {
    kind: 'histogram',
    name: 'dynamo_frontend_model_migration_duration_seconds',
    help: 'Time from the failure of a worker to the first answer of the one that took over, by outcome: success, failure, cancelled.',
    labels: ['model', 'migration_type', 'outcome'],
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60],
  },
  modelMigrationMaxSeqLenExceededTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_model_migration_max_seq_len_exceeded_total',
    help: 'Answers that became longer than DYN_MIGRATION_MAX_SEQ_LEN and can no longer move.',
    labels: ['model'],
  },
  modelMigrationRefusedTotal: {
    kind: 'counter',
    name: 'dynamo_frontend_model_migration_refused_total',
    help: 'Answers that broke and could not move, by reason: disabled, limit, max_seq_len, guided_decoding, pinned, text_input, no_token_ids.',
    labels: ['model', 'reason'],
  },
} as const;
