/** Token counts of one answer. */

/** What was used. */
export interface UsageCounts {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Prompt tokens that the engine found in its cache; undefined when it does not say. */
  readonly cachedTokens?: number | undefined;
}

/** `usage` as OpenAI writes it. */
export interface UsageBody {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens: number };
}

/** The `usage` object of a response. */
export function usageBody(usage: UsageCounts): UsageBody {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    ...(usage.cachedTokens === undefined
      ? {}
      : { prompt_tokens_details: { cached_tokens: usage.cachedTokens } }),
  };
}
