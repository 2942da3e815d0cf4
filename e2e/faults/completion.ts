/** One request as a client sends it, and everything that the client can tell about its answer. */

/** What is asked: a body for `/v1/completions` without the model. */
export type Body = Readonly<Record<string, unknown>>;

/** A whole answer, streamed or not. */
export interface Answer {
  /** Text of each choice. */
  readonly texts: readonly string[];
  readonly finish: readonly string[];
  readonly completionTokens: number | undefined;
  readonly cachedTokens: number | undefined;
}

/** How a request ended. */
export type Ending =
  | { readonly kind: 'answered'; readonly answer: Answer }
  | { readonly kind: 'refused'; readonly status: number; readonly message: string }
  | { readonly kind: 'broken'; readonly message: string }
  | { readonly kind: 'stuck' };

/** Settings of {@link complete}. */
export interface CompleteOptions {
  /** A request without an end by then is stuck. @default 60000 */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  readonly model?: string;
}

/** The model that every fleet of the suite serves. */
export const MODEL = 'mock';

/** Sends a completion request and reads its answer to the end. */
export async function complete(
  url: string,
  body: Body,
  options: CompleteOptions = {},
): Promise<Ending> {
  const deadline = AbortSignal.timeout(options.deadlineMs ?? 60_000);
  const signal = options.signal ? AbortSignal.any([deadline, options.signal]) : deadline;
  try {
    const response = await post(url, { model: options.model ?? MODEL, ...body }, signal);
    const text = await response.text();
    if (response.status !== 200)
      return { kind: 'refused', status: response.status, message: text.slice(0, 300) };
    return readAnswer(text, isStream(response));
  } catch (error) {
    if (deadline.aborted) return { kind: 'stuck' };
    return { kind: 'broken', message: messageOf(error) };
  }
}

/** Sends a body to the completions endpoint. */
export async function post(url: string, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
}

/** Innermost message of an error. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : messageOf(error.cause);
}

interface Part {
  readonly choices?: readonly {
    readonly index: number;
    readonly text: string;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: {
    readonly completion_tokens: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  } | null;
  readonly error?: { readonly message?: string };
}

function isStream(response: Response): boolean {
  return response.headers.get('content-type')?.startsWith('text/event-stream') === true;
}

function readAnswer(text: string, streamed: boolean): Ending {
  const data = streamed ? eventData(text) : [text];
  if (streamed && data.at(-1) !== '[DONE]')
    return { kind: 'broken', message: 'the stream ended without [DONE]' };
  const parts = data.filter((item) => item !== '[DONE]').map((item) => JSON.parse(item) as Part);
  const error = parts.find((part) => part.error !== undefined)?.error;
  if (error !== undefined) return { kind: 'broken', message: error.message ?? 'error in stream' };
  return { kind: 'answered', answer: fold(parts) };
}

function eventData(text: string): string[] {
  return text
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => event.slice('data: '.length));
}

function fold(parts: readonly Part[]): Answer {
  const texts: string[] = [];
  const finish: string[] = [];
  for (const choice of parts.flatMap((part) => part.choices ?? [])) {
    texts[choice.index] = (texts[choice.index] ?? '') + choice.text;
    if (choice.finish_reason !== null) finish[choice.index] = choice.finish_reason;
  }
  const usage = parts.flatMap((part) => part.usage ?? []).at(-1);
  return {
    texts,
    finish,
    completionTokens: usage?.completion_tokens,
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens,
  };
}
