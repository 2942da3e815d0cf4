/** The decisions of one router: found by id, followed as they are made or end, and written to the decision file. */
import { TaskGroup } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type { PlacementCore } from '@dynamo-ts/kv';
import { Decision } from '@dynamo-ts/protocol';
import type { Logger } from '@dynamo-ts/telemetry';

import type { DecisionFile } from './decision-file.ts';

/** What a {@link DecisionLog} works with. */
export interface DecisionLogOptions {
  readonly core: PlacementCore;
  /** Where ended decisions are written. @default nowhere */
  readonly file?: DecisionFile | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Decisions left the memory before they were written, or could not be written. */
  readonly onDropped: (count: number) => void;
}

/** Told about decisions. */
export type DecisionListener = (decision: Decision) => void;

const DRAIN_MS = 250;
const DRAIN_LIMIT = 1024;

/** Decisions of one router. */
export class DecisionLog implements AsyncDisposable {
  readonly #options: DecisionLogOptions;
  readonly #onMade = new Set<DecisionListener>();
  readonly #onEnded = new Set<DecisionListener>();
  readonly #tasks: TaskGroup;

  constructor(options: DecisionLogOptions) {
    this.#options = options;
    this.#tasks = new TaskGroup({
      name: 'decision log',
      onError: (error) => options.logger.error('decision log failed', { error }),
    });
  }

  /** Begins to write. */
  start(): void {
    const { file } = this.#options;
    if (file !== undefined) this.#tasks.start('write', (signal) => this.#write(file, signal));
  }

  /** A decision; undefined when it is not known (any more). */
  get(decisionId: string): Decision | undefined {
    const bytes = this.#options.core.decision(decisionId);
    return bytes === undefined ? undefined : Decision.decode(bytes);
  }

  /** The latest decisions, newest first. */
  recent(limit: number): readonly Decision[] {
    return this.#options.core.recentDecisions(limit).map((bytes) => Decision.decode(bytes));
  }

  /** Follows decisions from now on, when they are made or when their requests have ended. @returns an unsubscribe */
  onDecision(
    listener: DecisionListener,
    options: { readonly immediately?: boolean } = {},
  ): () => void {
    const listeners = options.immediately === true ? this.#onMade : this.#onEnded;
    // Each call has its own entry, also for the same function.
    const entry: DecisionListener = (decision) => listener(decision);
    listeners.add(entry);
    return () => {
      listeners.delete(entry);
    };
  }

  /** A decision was made. */
  made(decisionId: string): void {
    this.#tell(this.#onMade, decisionId);
  }

  /** The request of a decision has ended. */
  ended(decisionId: string): void {
    this.#tell(this.#onEnded, decisionId);
  }

  /** Writes what there is and stops. Idempotent. */
  async close(): Promise<void> {
    if (this.#tasks.signal.aborted) return;
    await this.#tasks.close();
    const { file } = this.#options;
    if (file !== undefined) await this.#drain(file);
    this.#onMade.clear();
    this.#onEnded.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #tell(listeners: ReadonlySet<DecisionListener>, decisionId: string): void {
    if (listeners.size === 0) return;
    const decision = this.get(decisionId);
    if (decision === undefined) return;
    for (const listener of listeners) listener(decision);
  }

  async #write(file: DecisionFile, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const count = await this.#drain(file);
      if (count < DRAIN_LIMIT) await this.#options.clock.sleep(DRAIN_MS, { signal });
    }
  }

  async #drain(file: DecisionFile): Promise<number> {
    const { lines, count, dropped } = await this.#options.core.drainDecisions(DRAIN_LIMIT);
    if (dropped > 0) this.#options.onDropped(dropped);
    if (count > 0 && !(await file.append(lines))) this.#options.onDropped(count);
    return count;
  }
}
