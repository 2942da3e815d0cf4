import type { ChatChunk, ChatRequest, CompletionChunk, CompletionRequest } from '@dynamo-ts/openai';
import type { Context } from '@dynamo-ts/runtime';

/**
 * An engine of this process: answers an OpenAI request by yielding OpenAI stream chunks, the last of which has a
 * `finish_reason`. A stream of OpenAI's own client can be yielded as it is.
 *
 * It is always asked for a stream, and for one choice of one prompt (`n` is 1): the service makes whole answers and
 * several choices out of that. It applies `stop` and `max_tokens` itself, and should end when `context.killed` is aborted,
 * because the client has left. The next chunk is asked for only when the client can take it.
 */
export type Engine<Request, Chunk> = (request: Request, context: Context) => AsyncIterable<Chunk>;

/** Engine of `/v1/chat/completions`. */
export type ChatCompletionsEngine = Engine<ChatRequest, ChatChunk>;

/** Engine of `/v1/completions`. */
export type CompletionsEngine = Engine<CompletionRequest, CompletionChunk>;
