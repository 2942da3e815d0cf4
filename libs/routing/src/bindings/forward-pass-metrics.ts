/** Work of one pass of an engine's scheduler, or of its queue (RP 11.6). Variances are those of the population. */
export interface PassWork {
  readonly numPrefillRequests: number;
  /** Prompt tokens computed in this pass, or waiting to be. */
  readonly sumPrefillTokens: number;
  /** Of the full lengths of the prompts. */
  readonly varPrefillLength: number;
  readonly numDecodeRequests: number;
  /** Tokens in cache that decoding reads. */
  readonly sumDecodeKvTokens: number;
  readonly varDecodeKvTokens: number;
}

/** What an engine did in one pass of its scheduler (RP 11.6). */
export interface ForwardPassMetrics {
  readonly workerId: string;
  readonly dpRank: number;
  /** From schedule to update; 0 says once that the engine has become idle. */
  readonly wallTimeSeconds: number;
  readonly scheduledRequests: PassWork & {
    /** Cached tokens, and those of earlier chunks, that prefill read. */
    readonly sumPrefillKvTokens: number;
  };
  readonly queuedRequests: PassWork;
}
