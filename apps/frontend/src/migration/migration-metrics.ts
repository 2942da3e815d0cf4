import type { Counter, Histogram, MetricsRegistry } from '@dynamo-ts/telemetry';

import { MIGRATION_METRICS } from './metrics.ts';

/** Handles of the metrics of migration. */
export class MigrationMetrics {
  readonly migrations: Counter<'model' | 'migration_type'>;
  readonly durationSeconds: Histogram<'model' | 'migration_type' | 'outcome'>;
  readonly maxSeqLenExceeded: Counter<'model'>;
  readonly refused: Counter<'model' | 'reason'>;

  constructor(registry: MetricsRegistry) {
    this.migrations = registry.counter(MIGRATION_METRICS.modelMigrationTotal);
    this.durationSeconds = registry.histogram(MIGRATION_METRICS.modelMigrationDurationSeconds);
    this.maxSeqLenExceeded = registry.counter(
      MIGRATION_METRICS.modelMigrationMaxSeqLenExceededTotal,
    );
    this.refused = registry.counter(MIGRATION_METRICS.modelMigrationRefusedTotal);
  }
}
