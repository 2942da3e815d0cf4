/**
 * Owner of background work: every task it starts is awaited by `close()`, and a failure is reported, never floating.
 */
import { AbortReasonError } from './abort.ts';
import { DynamoError } from './dynamo-error.ts';

/** Settings of a {@link TaskGroup}. */
export interface TaskGroupOptions {
  /** Name used in error messages. */
  readonly name: string;
  /** Told about a task that failed for another reason than the group's abort. */
  readonly onError: (error: unknown, task: string) => void;
}

/** A set of background tasks that end together. */
export class TaskGroup implements AsyncDisposable {
  readonly #name: string;
  readonly #onError: (error: unknown, task: string) => void;
  readonly #controller = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(options: TaskGroupOptions) {
    this.#name = options.name;
    this.#onError = options.onError;
  }

  /** Aborted when the group closes. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Tasks that have not ended. */
  get size(): number {
    return this.#running.size;
  }

  /**
   * Starts a task with the group's signal.
   *
   * @throws `runtime.closed` when the group is closed
   */
  start(task: string, run: (signal: AbortSignal) => Promise<void>): void {
    if (this.signal.aborted) {
      throw new DynamoError('runtime.closed', `task group ${this.#name} is closed: ${task}`);
    }
    const done = this.#guard(task, run).finally(() => this.#running.delete(done));
    this.#running.add(done);
  }

  /** Waits until every task that runs now has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** Aborts all tasks with `shutdown` and waits for them. Idempotent. */
  async close(): Promise<void> {
    if (!this.signal.aborted) this.#controller.abort(new AbortReasonError('shutdown'));
    await this.idle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #guard(task: string, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await run(this.signal);
    } catch (error) {
      if (!this.signal.aborted) this.#onError(error, task);
    }
  }
}
