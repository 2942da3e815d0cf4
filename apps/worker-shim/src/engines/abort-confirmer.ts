/**
 * Finds out when an engine behind HTTP has really left the requests that were given up: closing their connections is all
 * that a client can do, and the engine notices when it next looks. While there is anything to confirm the engine is asked
 * how many requests it has; what is more than the shim still wants is not left yet.
 *
 * Of several that were given up, those that came first are taken to be left first.
 */
import { Backoff, TaskGroup, systemClock } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';

/** What an engine has to do. */
export interface EngineWork {
  readonly requests: number;
  /** Most that `requests` can be, when requests that wait in the engine are not among them. */
  readonly places?: number | undefined;
}

/** Settings of an {@link AbortConfirmer}. */
export interface AbortConfirmerOptions {
  /** Undefined: the engine does not tell. */
  readonly read: (signal: AbortSignal) => Promise<EngineWork | undefined>;
  /** Requests that the engine was given and that are still wanted. */
  readonly wanted: () => number;
  readonly clock?: Clock | undefined;
}

interface Leaving {
  readonly sinceMs: number;
  readonly released: (confirmed: boolean) => void;
}

const FIRST_ASK_MS = 2;
const LAST_ASK_MS = 100;
const GIVE_UP_MS = 60_000;

/** Confirms the aborts of one engine. */
export class AbortConfirmer implements AsyncDisposable {
  readonly #options: AbortConfirmerOptions;
  readonly #clock: Clock;
  // Reading is made not to fail; what fails nevertheless leaves aborts unconfirmed and nothing else.
  readonly #tasks = new TaskGroup({ name: 'abort confirmer', onError: () => undefined });
  readonly #leaving: Leaving[] = [];

  constructor(options: AbortConfirmerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** A connection was closed; `released` is called when the engine has left its request, or says nothing in time. */
  confirm(released: (confirmed: boolean) => void): void {
    this.#leaving.push({ sinceMs: this.#clock.monotonicMs(), released });
    if (this.#tasks.size === 0 && !this.#tasks.signal.aborted)
      this.#tasks.start('ask', (signal) => this.#ask(signal));
  }

  /** Gives up what is not confirmed: the engine goes too. Idempotent. */
  async close(): Promise<void> {
    await this.#tasks.close();
    this.#leaving.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { read, wanted } = this.#options;
    const backoff = new Backoff({ initialMs: FIRST_ASK_MS, maxMs: LAST_ASK_MS, jitterRatio: 0 });
    while (this.#leaving.length > 0) {
      const asked = this.#leaving.length;
      const before = wanted();
      const work = await read(signal).catch(() => undefined);
      signal.throwIfAborted();
      const wantedNow = Math.min(before, wanted());
      this.#settle(work === undefined ? asked : leftOf(work, wantedNow, asked), true);
      const deadlineMs = this.#clock.monotonicMs() - GIVE_UP_MS;
      this.#settle(this.#leaving.filter(({ sinceMs }) => sinceMs < deadlineMs).length, false);
      if (this.#leaving.length > 0) await this.#clock.sleep(backoff.nextMs(), { signal });
    }
  }

  #settle(count: number, confirmed: boolean): void {
    for (const { released } of this.#leaving.splice(0, count)) released(confirmed);
  }
}

/** How many of the `asked` requests the engine has left. */
function leftOf({ places, requests }: EngineWork, wanted: number, asked: number): number {
  // All places are taken by requests that are wanted, or by some that are not: nobody knows.
  if (places !== undefined && wanted >= places) return 0;
  return Math.max(0, asked - Math.max(0, requests - wanted));
}
