import type { EngineHost, EngineLoad } from './engine.ts';

/** Settings of a {@link LoadTracker}. */
export interface LoadTrackerOptions {
  /** Tokens per KV block. */
  readonly blockSize: number;
  readonly totalKvBlocks: number;
  /** Most requests that the engine runs at once; 0 when it is not known. More than that count as waiting. */
  readonly maxSeqs: number;
  readonly host: Pick<EngineHost, 'loadChanged'>;
}

/** One running request's share of the load; released exactly once. */
export interface LoadGuard {
  /** Counts output tokens; the first ones end the request's prefill. */
  addTokens(count: number): void;
  /** Idempotent. */
  release(): void;
}

/**
 * The load of an engine that does not report its own, derived from the requests that the shim has given it. Blocks that
 * requests share are counted for each of them.
 */
export class LoadTracker {
  readonly #options: LoadTrackerOptions;
  #requests = 0;
  #prefillTokens = 0;
  #decodeBlocks = 0;

  constructor(options: LoadTrackerOptions) {
    this.#options = options;
  }

  /** Counts a request until its guard is released. */
  begin(promptTokens: number): LoadGuard {
    this.#requests += 1;
    this.#prefillTokens += promptTokens;
    this.#options.host.loadChanged();
    let state: 'prefill' | 'decode' | 'released' = 'prefill';
    let tokens = promptTokens;
    let blocks = 0;
    return {
      addTokens: (count) => {
        if (state === 'released') return;
        if (state === 'prefill') this.#prefillTokens -= promptTokens;
        state = 'decode';
        tokens += count;
        const nextBlocks = Math.ceil(tokens / this.#options.blockSize);
        if (nextBlocks === blocks) return;
        this.#decodeBlocks += nextBlocks - blocks;
        blocks = nextBlocks;
        this.#options.host.loadChanged();
      },
      release: () => {
        if (state === 'released') return;
        if (state === 'prefill') this.#prefillTokens -= promptTokens;
        state = 'released';
        this.#requests -= 1;
        this.#decodeBlocks -= blocks;
        this.#options.host.loadChanged();
      },
    };
  }

  /** The present load. */
  snapshot(): EngineLoad {
    const { maxSeqs, totalKvBlocks } = this.#options;
    const active = maxSeqs > 0 ? Math.min(this.#requests, maxSeqs) : this.#requests;
    return {
      dpRank: 0,
      activeRequests: active,
      waitingRequests: this.#requests - active,
      activeDecodeBlocks: this.#decodeBlocks,
      activePrefillTokens: this.#prefillTokens,
      totalKvBlocks,
    };
  }
}
