/** One streamed completion over HTTP/1.1, with as little work per request as possible. */
import { Agent, request } from 'node:http';

/** What became of a request. */
export interface Outcome {
  /** HTTP status; 0 when the connection failed. */
  readonly status: number;
  /** The whole answer came. */
  readonly isComplete: boolean;
  /** From the request to its first byte of answer. */
  readonly ttftMs: number;
  readonly durationMs: number;
  readonly retryAfter: string | undefined;
}

/** What every request asks for. */
export interface Shape {
  readonly promptTokens: number;
  readonly outputTokens: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
let asked = 0;

/** Sends a prompt that nobody has sent before. */
export async function complete(url: string, shape: Shape): Promise<Outcome> {
  asked += 1;
  const start = performance.now();
  const body = JSON.stringify({
    model: 'mocker',
    // The built-in tokenizer makes one token of each byte.
    prompt: `${asked} `.padEnd(shape.promptTokens, `${asked} lorem `),
    max_tokens: shape.outputTokens,
    ignore_eos: true,
    stream: true,
  });
  return new Promise((resolve) => {
    let ttftMs = NaN;
    let tail = '';
    let status = 0;
    let retryAfter: string | undefined;
    const end = (): void => {
      const durationMs = performance.now() - start;
      const isComplete = status === 200 && tail.includes('[DONE]');
      resolve({ status, isComplete, ttftMs, durationMs, retryAfter });
    };
    const call = request(
      `${url}/v1/completions`,
      { method: 'POST', agent, headers: { 'content-type': 'application/json' } },
      (response) => {
        status = response.statusCode ?? 0;
        retryAfter = response.headers['retry-after'];
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          if (Number.isNaN(ttftMs) && chunk.includes('data:')) ttftMs = performance.now() - start;
          tail = (tail + chunk).slice(-64);
        });
        response.on('end', end);
        response.on('error', end);
      },
    );
    call.on('error', end);
    call.end(body);
  });
}
