/** What is told about the moves of one request: metrics, log lines, attributes of its span. */
import { instanceIdHex, toDynamoError } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { Logger, Span } from '@dynamo-ts/telemetry';

import type { MigrationMetrics } from './migration-metrics.ts';

/** Whether a request moved before its first token, or in mid-answer. */
export type MigrationType = 'new_request' | 'ongoing_request';

/** How a move ended. */
export type MigrationOutcome = 'success' | 'failure' | 'cancelled';

/** Why a broken answer was not continued. */
export type MigrationObstacle =
  | 'disabled'
  | 'limit'
  | 'max_seq_len'
  | 'guided_decoding'
  | 'pinned'
  | 'text_input'
  | 'no_token_ids';

/** What a {@link MigrationReport} is made of. */
export interface MigrationReportOptions {
  readonly metrics: MigrationMetrics;
  readonly logger: Logger;
  readonly span: Span;
  readonly requestId: string;
  readonly model: string;
}

/** One move in mid-answer. */
export interface Move {
  readonly from: InstanceId;
  /** Undefined when no worker took over. */
  readonly to: InstanceId | undefined;
  readonly outcome: MigrationOutcome;
  readonly durationMs: number;
  /** Tokens that the client had by then. */
  readonly tokens: number;
  /** What broke the answer. */
  readonly cause: unknown;
}

/** Reports the moves of one request. */
export class MigrationReport {
  readonly #options: MigrationReportOptions;
  #moves = 0;

  constructor(options: MigrationReportOptions) {
    this.#options = options;
  }

  /** A move has begun. */
  began(type: MigrationType): void {
    const { metrics, model } = this.#options;
    metrics.migrations.inc({ model, migration_type: type });
  }

  /** Moves have ended. */
  ended(type: MigrationType, outcome: MigrationOutcome, durationMs: number): void {
    const { metrics, model } = this.#options;
    const labels = { model, migration_type: type, outcome };
    metrics.durationSeconds.observe(labels, durationMs / 1000);
  }

  /** A move in mid-answer has ended. */
  moved(move: Move): void {
    this.ended('ongoing_request', move.outcome, move.durationMs);
    const { span } = this.#options;
    const fields = {
      ...this.#ids(),
      from_instance: instanceIdHex(move.from),
      ...(move.to === undefined ? {} : { to_instance: instanceIdHex(move.to) }),
      generated_tokens: move.tokens,
      duration_ms: Math.round(move.durationMs * 100) / 100,
      cause: toDynamoError(move.cause).code,
    };
    this.#moves += 1;
    span.setAttribute('migrations', this.#moves);
    span.setAttribute('migrated_from', fields.from_instance);
    if (fields.to_instance !== undefined) span.setAttribute('migrated_to', fields.to_instance);
    if (move.outcome === 'success') this.#logger().info('request moved to another worker', fields);
    else if (move.outcome === 'failure') this.#logger().warn('no worker took over', fields);
  }

  /** A broken answer stays broken. */
  refused(reason: MigrationObstacle, from: InstanceId, cause: unknown): void {
    const { metrics, model } = this.#options;
    metrics.refused.inc({ model, reason });
    this.#logger().warn('broken request cannot move to another worker', {
      ...this.#ids(),
      reason,
      from_instance: instanceIdHex(from),
      cause: toDynamoError(cause).code,
    });
  }

  /** The sequence has become too long to be moved. */
  tooLong(): void {
    const { metrics, model } = this.#options;
    metrics.maxSeqLenExceeded.inc({ model });
  }

  /** Made when there is something to say: most requests never move. */
  #logger(): Logger {
    return this.#options.logger.child({ target: 'frontend.migration' });
  }

  #ids(): Readonly<Record<string, string>> {
    const { span, requestId, model } = this.#options;
    const { traceId, spanId } = span.context;
    return { trace_id: traceId, span_id: spanId, request_id: requestId, model };
  }
}
