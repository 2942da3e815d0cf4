/**
 * Brings ranks of the index up to what their workers hold: asks those whose recovery the core says is due, hands it the
 * answers, and tells it when there is none. One request per rank at a time, a bounded number over all. When a failed one
 * is due again the core knows.
 */
import { TaskGroup, asInstanceId, instanceIdHex } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import type { PlacementCore, Recovery } from '@dynamo-ts/kv';
import type { Logger } from '@dynamo-ts/telemetry';

import { Slots } from './slots.ts';
import { queryOf } from './worker-kv-query.ts';
import type { AskWorker, WorkerKvQuery } from './worker-kv-query.ts';

/** Workers asked at the same time; each answer is parsed on a thread of its own. */
const PARALLEL = 8;
/** How long a worker that has just registered may take to answer queries, too. */
const REGISTRATION_MS = 5000;
const REGISTRATION_POLL_MS = 50;
/** How often the core is asked what is due. */
const DUE_POLL_MS = 250;

/** Settings of {@link RankRestore}. */
export interface RankRestoreOptions {
  readonly core: PlacementCore;
  readonly query: WorkerKvQuery;
  readonly logger: Logger;
  readonly clock: Clock;
  /** A rank was restored, or its worker did not answer. */
  readonly onProgress: () => void;
}

/** One rank that is kept up to date. */
interface Rank {
  readonly gone: AbortController;
  /** Asked instead of the worker's endpoint. */
  readonly ask: AskWorker | undefined;
  /** What to ask for next. */
  wanted: Recovery | undefined;
  isAsking: boolean;
  /** What is asked for now may be out of date when it comes. */
  isStale: boolean;
  /** The first attempt is over. */
  isTried: boolean;
}

/** Restores ranks. */
export class RankRestore implements AsyncDisposable {
  readonly #options: RankRestoreOptions;
  readonly #ranks = new Map<string, Rank>();
  readonly #slots = new Slots(PARALLEL);
  readonly #tasks: TaskGroup;
  #isOpen = false;
  #asking: NodeJS.Immediate | undefined;

  constructor(options: RankRestoreOptions) {
    this.#options = options;
    this.#tasks = new TaskGroup({
      name: 'index recovery',
      onError: (error, task) => options.logger.error('index recovery failed', { task, error }),
    });
  }

  /** Ranks whose first attempt is over, and all. */
  get progress(): { readonly done: number; readonly total: number } {
    let done = 0;
    for (const { isTried } of this.#ranks.values()) if (isTried) done += 1;
    return { done, total: this.#ranks.size };
  }

  /** From now on workers are asked. Call it when their events reach this process. */
  open(): void {
    if (this.#isOpen || this.#tasks.signal.aborted) return;
    this.#isOpen = true;
    this.#tasks.start('due recoveries', (signal) => this.#poll(signal));
  }

  /** Keeps the ranks of a worker, which the core must know; `ask` is asked instead of the worker's endpoint. */
  add(workerId: InstanceId, dpRanks: readonly number[], ask?: AskWorker): void {
    for (const dpRank of dpRanks) {
      const gone = new AbortController();
      const rank = {
        gone,
        ask,
        wanted: undefined,
        isAsking: false,
        isStale: false,
        isTried: false,
      };
      this.#ranks.set(keyOf(workerId, dpRank), rank);
    }
    this.wantDue();
  }

  /** Stops keeping a rank. */
  remove(workerId: InstanceId, dpRank: number): void {
    const key = keyOf(workerId, dpRank);
    this.#ranks.get(key)?.gone.abort();
    this.#ranks.delete(key);
    this.#options.onProgress();
  }

  /** Asks for what the core says is due, once for all changes of a turn of the event loop. */
  wantDue(): void {
    if (!this.#isOpen) return;
    this.#asking ??= setImmediate(() => {
      this.#asking = undefined;
      this.#wantDue();
    });
  }

  /** Something of a rank is missing. */
  want(recovery: Recovery): void {
    const { core, clock } = this.#options;
    const { workerId, dpRank } = recovery;
    const rank = this.#ranks.get(keyOf(workerId, dpRank));
    if (rank === undefined) {
      // An engine that was added by hand: nobody can be asked.
      core.failRecovery(workerId, dpRank, clock.monotonicMs());
      return;
    }
    if (this.#tasks.signal.aborted) return;
    rank.wanted = recovery;
    if (rank.isAsking) return;
    rank.isAsking = true;
    this.#tasks.start(`worker ${instanceIdHex(workerId)}`, (closing) =>
      this.#restore(rank, recovery, AbortSignal.any([closing, rank.gone.signal])),
    );
  }

  /** Events may have been lost unseen: asks for everything, after the present answer if there is one to come. */
  renew(workerId: InstanceId, dpRank: number): void {
    const rank = this.#ranks.get(keyOf(workerId, dpRank));
    if (rank === undefined) return;
    if (rank.isAsking) {
      rank.isStale = true;
      return;
    }
    this.#options.core.restoreNeeded(workerId, dpRank);
    this.wantDue();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    clearImmediate(this.#asking);
    await this.#tasks.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #wantDue(): void {
    const { core, clock } = this.#options;
    if (this.#tasks.signal.aborted) return;
    for (const recovery of core.recoveriesDue(clock.monotonicMs())) this.want(recovery);
    this.#noteComplete();
  }

  /** A rank whose events were heard from the first one on needs not be asked. */
  #noteComplete(): void {
    const { core, clock, onProgress } = this.#options;
    if (![...this.#ranks.values()].some((rank) => !rank.isTried && !rank.isAsking)) return;
    const { workerIds, dpRanks, states } = core.health(clock.monotonicMs());
    for (const [index, id] of workerIds.entries()) {
      if (states[index] !== 'live') continue;
      const rank = this.#ranks.get(keyOf(asInstanceId(id), dpRanks[index] ?? 0));
      if (rank !== undefined) rank.isTried = true;
    }
    onProgress();
  }

  async #poll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#wantDue();
      await this.#options.clock.sleep(DUE_POLL_MS, { signal });
    }
  }

  async #restore(rank: Rank, { workerId, dpRank }: Recovery, signal: AbortSignal): Promise<void> {
    try {
      for (let wanted = take(rank); wanted !== undefined && !signal.aborted; wanted = take(rank)) {
        const recovery = wanted;
        // Those that can be asked do not wait for those that cannot yet.
        if (rank.ask === undefined) await this.#registered(workerId, signal);
        await this.#slots.run(() => this.#attempt(rank, recovery, signal));
      }
    } finally {
      rank.isAsking = false;
    }
    if (rank.isStale && !signal.aborted) this.renew(workerId, dpRank);
  }

  async #attempt(rank: Rank, recovery: Recovery, signal: AbortSignal): Promise<void> {
    const { core, query, clock, logger, onProgress } = this.#options;
    const { workerId, dpRank } = recovery;
    try {
      signal.throwIfAborted();
      rank.isStale = false;
      const items = await (rank.ask?.(queryOf(recovery)) ?? query.ask(recovery, signal));
      if (signal.aborted) return;
      const result = await core.finishRecovery(workerId, dpRank, items, clock.monotonicMs());
      for (const next of result.recoveries) this.want(next);
    } catch (error) {
      if (signal.aborted) return;
      const worker = { worker_id: instanceIdHex(workerId), dp_rank: dpRank };
      logger.warn('worker does not give its cache index, trying again', { ...worker, error });
      core.failRecovery(workerId, dpRank, clock.monotonicMs());
      // It is asked again anyway.
      rank.isStale = false;
    }
    rank.isTried = true;
    onProgress();
  }

  /** Waits a while for the worker to register; never throws. */
  async #registered(workerId: InstanceId, signal: AbortSignal): Promise<void> {
    const { query, clock } = this.#options;
    const untilMs = clock.monotonicMs() + REGISTRATION_MS;
    while (!signal.aborted && !query.answers(workerId) && clock.monotonicMs() < untilMs)
      await clock.sleep(REGISTRATION_POLL_MS, { signal }).catch(() => undefined);
  }
}

function take(rank: Rank): Recovery | undefined {
  const { wanted } = rank;
  rank.wanted = undefined;
  return wanted;
}

function keyOf(workerId: InstanceId, dpRank: number): string {
  return `${workerId}/${dpRank}`;
}
