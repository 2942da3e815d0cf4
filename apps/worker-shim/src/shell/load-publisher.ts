/**
 * Tells routers the load of this worker when it changes: at once after a quiet time, then at most every 20 ms, and the
 * last state always. Nothing is sent while nothing changes.
 */
import { ActiveLoad } from '@dynamo-ts/protocol';
import type { EventPublisher } from '@dynamo-ts/runtime';

import type { EngineLoad } from '../engines/engine.ts';

const MIN_INTERVAL_MS = 20;

/** Settings of a {@link LoadPublisher}. */
export interface LoadPublisherOptions {
  readonly publisher: EventPublisher;
  readonly workerId: bigint;
  readonly load: () => readonly EngineLoad[];
}

/** Publishes the load of one worker. */
export class LoadPublisher implements Disposable {
  readonly #options: LoadPublisherOptions;
  readonly #lastByRank = new Map<number, EngineLoad>();
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #changed = false;

  constructor(options: LoadPublisherOptions) {
    this.#options = options;
  }

  /** The load may have changed. Costs next to nothing when called often. */
  changed(): void {
    if (this.#changed) return;
    this.#changed = true;
    if (this.#timer === undefined) {
      this.#immediate = setImmediate(() => {
        this.#publish();
      });
    }
  }

  /** Publishes nothing any more. Idempotent. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#changed = true;
  }

  #publish(): void {
    this.#changed = false;
    for (const load of this.#options.load()) this.#publishRank(load);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#changed) this.#publish();
    }, MIN_INTERVAL_MS);
    this.#timer.unref();
  }

  #publishRank(load: EngineLoad): void {
    const last = this.#lastByRank.get(load.dpRank);
    if (last !== undefined && sameLoad(last, load)) return;
    this.#lastByRank.set(load.dpRank, load);
    const { publisher, workerId } = this.#options;
    publisher.publish(ActiveLoad.encode({ workerId, ...load }).finish());
  }
}

function sameLoad(one: EngineLoad, other: EngineLoad): boolean {
  return (
    one.activeRequests === other.activeRequests &&
    one.waitingRequests === other.waitingRequests &&
    one.activeDecodeBlocks === other.activeDecodeBlocks &&
    one.activePrefillTokens === other.activePrefillTokens &&
    one.totalKvBlocks === other.totalKvBlocks
  );
}
