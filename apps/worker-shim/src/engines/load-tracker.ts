import type { EngineHost, EngineLoad } from './engine.ts';

/** Settings of a {@link LoadTracker}. */
export interface LoadTrackerOptions {
  /** Tokens per KV block. */
  readonly blockSize: number;
  /** Per rank. */
  readonly totalKvBlocks: number;
  /** Most requests that a rank runs at once; 0 when it is not known. More than that count as waiting. */
  readonly maxSeqs: number;
  readonly dataParallelSize: number;
  /** @default 0 */
  readonly dataParallelStartRank?: number | undefined;
  readonly host: Pick<EngineHost, 'loadChanged'>;
}

/** One running request's share of the load; released exactly once. */
export interface LoadGuard {
  /** Counts output tokens; the first ones end the request's prefill. */
  addTokens(count: number): void;
  /** Idempotent. */
  release(): void;
}

/** What an engine itself said about a rank. */
export interface ObservedLoad {
  readonly dpRank: number;
  readonly waitingRequests: number;
  /** Blocks that running requests hold, shared ones counted once. */
  readonly usedBlocks: number;
}

/** One rank's sums. */
interface RankLoad {
  requests: number;
  prefillTokens: number;
  /** Of requests that have given a token. */
  decodeBlocks: number;
  /** Of all requests. */
  heldBlocks: number;
  /** The engine's word, and what the sum of held blocks was when it came. */
  observed: (ObservedLoad & { readonly heldBlocks: number }) | undefined;
}

/**
 * The load of an engine, derived from the requests that the shim has given it. Blocks that requests share are counted for
 * each of them, until the engine says how many it really uses; from then on only changes are added.
 */
export class LoadTracker {
  readonly #options: LoadTrackerOptions;
  readonly #ranks: ReadonlyMap<number, RankLoad>;

  constructor(options: LoadTrackerOptions) {
    const { dataParallelSize, dataParallelStartRank = 0 } = options;
    this.#options = options;
    this.#ranks = new Map(
      Array.from({ length: dataParallelSize }, (_, index) => [
        dataParallelStartRank + index,
        { requests: 0, prefillTokens: 0, decodeBlocks: 0, heldBlocks: 0, observed: undefined },
      ]),
    );
  }

  /** Whether requests run. */
  get isBusy(): boolean {
    return [...this.#ranks.values()].some(({ requests }) => requests > 0);
  }

  /** Counts a request until its guard is released; one without rank counts for the first. */
  begin(promptTokens: number, dpRank?: number): LoadGuard {
    const { dataParallelStartRank = 0, blockSize, host } = this.#options;
    const rank = this.#ranks.get(dpRank ?? dataParallelStartRank);
    if (rank === undefined) return { addTokens: () => undefined, release: () => undefined };
    rank.requests += 1;
    rank.prefillTokens += promptTokens;
    let state: 'prefill' | 'decode' | 'released' = 'prefill';
    let tokens = promptTokens;
    let blocks = Math.ceil(promptTokens / blockSize);
    rank.heldBlocks += blocks;
    host.loadChanged();
    return {
      addTokens: (count) => {
        if (state === 'released') return;
        const nextBlocks = Math.ceil((tokens += count) / blockSize);
        if (state === 'decode' && nextBlocks === blocks) return;
        if (state === 'prefill') rank.prefillTokens -= promptTokens;
        rank.decodeBlocks += state === 'prefill' ? nextBlocks : nextBlocks - blocks;
        rank.heldBlocks += nextBlocks - blocks;
        state = 'decode';
        blocks = nextBlocks;
        host.loadChanged();
      },
      release: () => {
        if (state === 'released') return;
        if (state === 'prefill') rank.prefillTokens -= promptTokens;
        else rank.decodeBlocks -= blocks;
        state = 'released';
        rank.requests -= 1;
        rank.heldBlocks -= blocks;
        if (rank.requests === 0) rank.observed = undefined;
        host.loadChanged();
      },
    };
  }

  /** Takes the engine's own word for ranks that are busy. */
  observe(loads: readonly ObservedLoad[]): void {
    for (const load of loads) {
      const rank = this.#ranks.get(load.dpRank);
      if (rank === undefined || rank.requests === 0) continue;
      rank.observed = { ...load, heldBlocks: rank.heldBlocks };
    }
    this.#options.host.loadChanged();
  }

  /** The present load of every rank. */
  snapshot(): readonly EngineLoad[] {
    return [...this.#ranks].map(([dpRank, rank]) => this.#loadOf(dpRank, rank));
  }

  #loadOf(dpRank: number, rank: RankLoad): EngineLoad {
    const { decodeBlocks, heldBlocks, observed, prefillTokens, requests } = rank;
    const { maxSeqs, totalKvBlocks } = this.#options;
    const beyond = maxSeqs > 0 ? Math.max(0, requests - maxSeqs) : 0;
    const waiting = Math.min(requests, observed?.waitingRequests ?? beyond);
    const used =
      observed === undefined
        ? decodeBlocks
        : Math.max(0, observed.usedBlocks + heldBlocks - observed.heldBlocks);
    return {
      dpRank,
      activeRequests: requests - waiting,
      waitingRequests: waiting,
      activeDecodeBlocks: used,
      activePrefillTokens: prefillTokens,
      totalKvBlocks,
    };
  }
}
