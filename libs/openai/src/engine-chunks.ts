/**
 * Stream chunks as an engine of this process yields them. They are what OpenAI's own client reads, with everything
 * optional that the service fills in (id, model, created), so that such a client's stream can be passed on as it is.
 */
/** Why a choice ended, in the words of an engine. */
export type EngineChunkFinish =
  'stop' | 'length' | 'content_filter' | 'tool_calls' | 'function_call';

/** Token counts as an engine reports them. */
export interface EngineUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly prompt_tokens_details?:
    { readonly cached_tokens?: number | null | undefined } | null | undefined;
}

/** A chunk of any kind: the next piece of the answer, or its end, or its token counts. */
export interface EngineChunk<Choice> {
  readonly choices: readonly Choice[];
  /** On the last chunk, if the engine counts. */
  readonly usage?: EngineUsage | null | undefined;
}

/** What every choice of a chunk has. */
export interface EngineChunkChoice {
  /** An engine is asked for one choice at a time: 0. */
  readonly index?: number | undefined;
  /** On the last choice of the answer, and only there. */
  readonly finish_reason?: EngineChunkFinish | null | undefined;
}

/** What a chat answer goes on with. */
export interface ChatDelta {
  readonly role?: string | undefined;
  readonly content?: string | null | undefined;
  readonly reasoning_content?: string | null | undefined;
  readonly refusal?: string | null | undefined;
  readonly tool_calls?: readonly object[] | undefined;
}

/** A token and its log probability. */
interface ScoredToken {
  readonly token: string;
  readonly logprob: number;
}

/** A token of a chat answer with the candidates for its place. */
interface ChatScoredToken extends ScoredToken {
  readonly top_logprobs: readonly ScoredToken[];
}

/** A choice of a chat chunk. */
export interface ChatChunkChoice extends EngineChunkChoice {
  readonly delta: ChatDelta;
  readonly logprobs?:
    { readonly content?: readonly ChatScoredToken[] | null | undefined } | null | undefined;
}

/** A choice of a text completion's chunk. */
export interface CompletionChunkChoice extends EngineChunkChoice {
  readonly text: string;
  readonly logprobs?:
    | {
        readonly tokens?: readonly string[] | undefined;
        readonly token_logprobs?: readonly number[] | undefined;
        readonly top_logprobs?: readonly Readonly<Record<string, number>>[] | null | undefined;
      }
    | null
    | undefined;
}

/** A chunk of a chat answer. */
export type ChatChunk = EngineChunk<ChatChunkChoice>;

/** A chunk of a text completion's answer. */
export type CompletionChunk = EngineChunk<CompletionChunkChoice>;
