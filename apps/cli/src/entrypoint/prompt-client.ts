/** Asks the frontend of this process, as any client would, so that prompts take the same way as everybody's. */
import { DynamoError } from '@dynamo-ts/base';

/** One turn of a conversation. */
export interface Message {
  readonly role: 'user' | 'assistant';
  readonly content: string;
}

/** An answer and what it took. */
export interface PromptAnswer {
  readonly text: string;
  readonly tokensIn: number;
  readonly tokensOut: number;
  readonly finishReason: string | undefined;
}

/** Settings of a {@link PromptClient}. */
export interface PromptClientOptions {
  /** Where the frontend answers chats, `http://host:port/path`. */
  readonly url: string;
  readonly model: string;
  /** Longest answer in tokens. */
  readonly maxTokens: number;
}

/** What one call may be told. */
export interface AskOptions {
  readonly signal: AbortSignal;
  /** Told each piece of the answer as it comes. */
  readonly onText?: ((text: string) => void) | undefined;
}

/** Sends conversations to one model. */
export class PromptClient {
  readonly #options: PromptClientOptions;

  constructor(options: PromptClientOptions) {
    this.#options = options;
  }

  /** Asks for the next turn. @throws `request.invalid` when it is refused, `backend.error` when it breaks */
  async ask(messages: readonly Message[], { signal, onText }: AskOptions): Promise<PromptAnswer> {
    const { url, model, maxTokens } = this.#options;
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model,
        messages,
        max_completion_tokens: maxTokens,
        stream: true,
        stream_options: { include_usage: true },
      }),
      signal,
    });
    if (!response.ok || response.body === null) throw await refusal(response);
    const answer = {
      text: '',
      tokensIn: 0,
      tokensOut: 0,
      finishReason: undefined as string | undefined,
    };
    for await (const data of events(response.body)) {
      const { text, finishReason, usage } = readChunk(data);
      answer.text += text;
      answer.finishReason = finishReason ?? answer.finishReason;
      answer.tokensIn = usage?.prompt_tokens ?? answer.tokensIn;
      answer.tokensOut = usage?.completion_tokens ?? answer.tokensOut;
      if (text !== '') onText?.(text);
    }
    return answer;
  }
}

/** The fields of our own frontend's answers that matter here. */
interface Chunk {
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
  readonly error?: { readonly message: string };
}

function readChunk(data: string): {
  readonly text: string;
  readonly finishReason: string | undefined;
  readonly usage: Chunk['usage'];
} {
  const { choices, usage, error } = JSON.parse(data) as Chunk; // written by the frontend of this process
  if (error !== undefined) throw new DynamoError('backend.error', error.message);
  const choice = choices?.[0];
  return {
    text: choice?.delta?.content ?? '',
    finishReason: choice?.finish_reason ?? undefined,
    usage,
  };
}

/** The data of server-sent events up to `[DONE]`; comments and named events are left out. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + piece).split('\n\n');
    rest = parts.pop() ?? '';
    for (const event of parts) {
      if (!event.startsWith('data: ')) continue;
      const data = event.slice('data: '.length);
      if (data === '[DONE]') return;
      yield data;
    }
  }
}

async function refusal(response: Response): Promise<DynamoError> {
  const text = await response.text();
  let message = text;
  try {
    message = (JSON.parse(text) as Chunk).error?.message ?? text;
  } catch {
    // Not an error of the frontend; its text says what it is.
  }
  const code = response.status < 500 ? 'request.invalid' : 'backend.error';
  return new DynamoError(code, message === '' ? `status ${response.status}` : message);
}
