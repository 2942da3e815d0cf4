/**
 * HTTP client of one engine. Streams have no header and no body timeout, because a long prefill is silent for minutes;
 * what ends them is the caller's signal, which closes the socket, and that is what tells an engine to stop generating.
 */
import { isUtf8 } from 'node:buffer';

import { DynamoError, abortError } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';
import { Agent } from 'undici';
import type { Dispatcher } from 'undici';

import { connectionError, statusError } from './engine-http-error.ts';
import type { ServerSentEvent } from './event-stream-parser.ts';
import { EventStreamParser } from './event-stream-parser.ts';

/** Settings of {@link EngineHttp}. */
export interface EngineHttpOptions {
  /** `http://host:port`, with or without a path below which the engine's API lives. */
  readonly baseUrl: string;
  /** Sent as a bearer token when the engine wants one. */
  readonly apiKey?: string;
}

/** Longest wait for a TCP connection. */
const CONNECT_TIMEOUT_MS = 5000;
/** Longest wait for the answer of a small question (health, models, slots). */
const QUESTION_TIMEOUT_MS = 10_000;
/** Longest wait for something that the engine is told to do, such as loading its weights. */
const COMMAND_TIMEOUT_MS = 600_000;
/** Most bytes of an error body that are read. */
const ERROR_BODY_LIMIT_BYTES = 64 * 1024;

/** A JSON body that is answered by an event stream. */
export interface StreamQuestion {
  readonly path: string;
  readonly json: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Small questions and token streams over one connection pool. */
export class EngineHttp implements AsyncDisposable {
  readonly #origin: string;
  readonly #basePath: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #agent = new Agent({
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: CONNECT_TIMEOUT_MS },
  });

  constructor(options: EngineHttpOptions) {
    const url = new URL(options.baseUrl);
    this.#origin = url.origin;
    this.#basePath = url.pathname.replace(/\/$/, '').replace(/\/v1$/, '');
    this.#headers =
      options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` };
  }

  /** Where the engine is, without credentials. */
  get address(): string {
    return this.#origin + this.#basePath;
  }

  /**
   * The body of `GET path`.
   *
   * @throws `backend.engine_shutdown` when the engine cannot be reached, else what {@link statusError} makes of its answer
   */
  async getText(path: string, options: AbortOptions = {}): Promise<string> {
    return this.#ask({ path }, QUESTION_TIMEOUT_MS, options);
  }

  /** Tells the engine to do something, without a body, and waits until it has. @throws as {@link EngineHttp.getText} */
  async post(path: string, options: AbortOptions = {}): Promise<void> {
    await this.#ask({ path, json: '' }, COMMAND_TIMEOUT_MS, options);
  }

  /** The JSON of `GET path`. @throws as {@link EngineHttp.getText}; `transport.protocol` when it is no JSON */
  async getJson(path: string, options: AbortOptions = {}): Promise<unknown> {
    const text = await this.getText(path, options);
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw new DynamoError(
        'transport.protocol',
        `${this.address}${path} answered something that is no JSON`,
        { cause: error },
      );
    }
  }

  /**
   * Posts JSON and gives the events of the answer; those that arrived in one read come together.
   *
   * @throws the signal's reason when aborted, otherwise as {@link EngineHttp.getText}
   */
  async *postEvents(
    question: StreamQuestion,
    signal: AbortSignal,
  ): AsyncGenerator<readonly ServerSentEvent[], void> {
    const response = await this.#sendTwice(question, signal);
    if (response.statusCode !== 200) throw await this.#statusError(response);
    const parser = new EventStreamParser();
    try {
      for await (const chunk of response.body) {
        const events = parser.push(chunk as Uint8Array);
        if (events.length > 0) yield events;
      }
    } catch (error) {
      throw signal.aborted ? abortError(signal) : connectionError(this.address, error);
    }
  }

  /** Closes all connections at once. Idempotent. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #ask(
    question: Question,
    timeoutMs: number,
    { signal: caller }: AbortOptions,
  ): Promise<string> {
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = caller === undefined ? timeout : AbortSignal.any([caller, timeout]);
    const response = await this.#send(question, signal);
    if (response.statusCode !== 200) throw await this.#statusError(response);
    try {
      return await response.body.text();
    } catch (error) {
      throw connectionError(this.address, error);
    }
  }

  /** A kept-alive connection may have been closed by the engine just as it was used: one more try is safe before headers. */
  async #sendTwice(question: StreamQuestion, signal: AbortSignal): Promise<EngineResponse> {
    try {
      return await this.#send(question, signal);
    } catch (error) {
      if (signal.aborted || !isResetConnection(error)) throw error;
      return this.#send(question, signal);
    }
  }

  /** Without JSON it is a GET. */
  async #send({ headers, json, path }: Question, signal: AbortSignal): Promise<EngineResponse> {
    try {
      return await this.#agent.request({
        origin: this.#origin,
        path: this.#basePath + path,
        method: json === undefined ? 'GET' : 'POST',
        signal,
        headers:
          json === undefined
            ? this.#headers
            : { ...this.#headers, ...headers, 'content-type': 'application/json' },
        body: json ?? null,
      });
    } catch (error) {
      throw signal.aborted && !isTimeout(signal)
        ? abortError(signal)
        : connectionError(this.address, error);
    }
  }

  async #statusError(response: EngineResponse): Promise<DynamoError> {
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    try {
      for await (const chunk of response.body) {
        chunks.push(chunk as Uint8Array);
        sizeBytes += (chunk as Uint8Array).byteLength;
        if (sizeBytes > ERROR_BODY_LIMIT_BYTES) break;
      }
    } catch {
      // the status says enough
    }
    const body = Buffer.concat(chunks);
    return statusError(this.address, response.statusCode, isUtf8(body) ? body.toString() : '');
  }
}

type Question = Partial<StreamQuestion> & { readonly path: string };

type EngineResponse = Dispatcher.ResponseData;

function isTimeout(signal: AbortSignal): boolean {
  return signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError';
}

function isResetConnection(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  if (!(cause instanceof Error) || !('code' in cause)) return false;
  return cause.code === 'ECONNRESET' || cause.code === 'UND_ERR_SOCKET' || cause.code === 'EPIPE';
}
