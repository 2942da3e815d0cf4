/**
 * The router's HTTP port: JSON in and out over node:http, a table of routes, bodies up to a limit. A framework's work
 * (schemas, plugins, streaming) is not needed for a dozen small calls, and this answers in a tenth of the time.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';

import { DynamoError } from '@dynamo-ts/base';
import type { Logger } from '@dynamo-ts/telemetry';

import { HttpProblem, problemOf } from './http-problem.ts';
import { parseJson, writeJson } from './json.ts';

/** A request whose body has been read. */
export interface HttpRequest {
  /** Parts of the path that the route names. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** The JSON body; undefined when there is none. */
  readonly body: unknown;
  readonly headers: IncomingMessage['headers'];
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}

/** An answer. */
export interface HttpReply {
  /** @default 200 */
  readonly status?: number;
  /** JSON; a bigint becomes an integer. */
  readonly json?: unknown;
  /** Another body than JSON. */
  readonly text?: { readonly type: string; readonly body: string };
}

/** A call that is served. */
export interface HttpRoute {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** For example `/reservations/:id/output_block`. */
  readonly path: string;
  readonly answer: (request: HttpRequest) => HttpReply | Promise<HttpReply>;
}

/** Settings of an {@link HttpServer}. */
export interface HttpServerOptions {
  readonly routes: readonly HttpRoute[];
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly logger: Logger;
  /** Told about every answer. */
  readonly onAnswer?: ((answer: HttpAnswer) => void) | undefined;
}

/** What became of a request. */
export interface HttpAnswer {
  readonly method: string;
  /** The route's path; undefined when there is no such route. */
  readonly path: string | undefined;
  readonly status: number;
  readonly durationMs: number;
}

/** Largest body; a million token ids fit. */
const MOST_BODY_BYTES = 16 * 1024 * 1024;

interface Matched {
  readonly route: HttpRoute;
  readonly params: Readonly<Record<string, string>>;
}

/** A listening HTTP server. */
export class HttpServer implements AsyncDisposable {
  readonly #options: HttpServerOptions;
  readonly #routes: readonly (HttpRoute & { readonly segments: readonly string[] })[];
  readonly #server: Server;

  private constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#routes = options.routes.map((route) => ({ ...route, segments: route.path.split('/') }));
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        options.logger.error('an answer could not be sent', { error, uri: request.url });
        response.destroy();
      });
    });
  }

  /** Starts listening. @throws `config.port_in_use`, `config.invalid` */
  static async listen(options: HttpServerOptions): Promise<HttpServer> {
    const server = new HttpServer(options);
    await server.#listen();
    return server;
  }

  /** The port in use. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Stops serving. Idempotent. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const cut = setTimeout(() => this.#server.closeAllConnections(), 1000);
    await closed;
    clearTimeout(cut);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #listen(): Promise<void> {
    const { host, port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause: NodeJS.ErrnoException) => {
        const taken = cause.code === 'EADDRINUSE';
        const message = `the router's HTTP server cannot listen on ${host}:${port} (${cause.code ?? cause.message}); see DYN_ROUTER_HTTP_PORT`;
        reject(
          new DynamoError(taken ? 'config.port_in_use' : 'config.invalid', message, { cause }),
        );
      });
      this.#server.listen(port, host, resolve);
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startMs = performance.now();
    const url = new URL(request.url ?? '/', 'http://router');
    const { reply, path } = await this.#reply(request, response, url);
    const status = reply.status ?? 200;
    const { type, body } = bodyOf(reply);
    if (!response.destroyed) {
      response.writeHead(status, {
        'content-type': type,
        'content-length': Buffer.byteLength(body),
      });
      response.end(body);
    }
    const durationMs = performance.now() - startMs;
    this.#options.onAnswer?.({ method: request.method ?? '', path, status, durationMs });
  }

  async #reply(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
  ): Promise<{ readonly reply: HttpReply; readonly path: string | undefined }> {
    let path: string | undefined;
    try {
      const { route, params } = this.#match(request.method ?? '', url.pathname);
      path = route.path;
      const gone = new AbortController();
      response.once('close', () => {
        gone.abort();
      });
      const body = await readBody(request);
      const { headers } = request;
      const call = { params, query: url.searchParams, body, headers, signal: gone.signal };
      return { reply: await route.answer(call), path };
    } catch (error) {
      const { status, message } = problemOf(error);
      if (status >= 500) this.#options.logger.warn('request failed', { error, uri: request.url });
      return { reply: { status, json: { error: message } }, path };
    }
  }

  #match(method: string, path: string): Matched {
    const segments = path.split('/');
    const found = this.#routes.flatMap((route) => {
      const params = paramsOf(route.segments, segments);
      return params === undefined ? [] : [{ route, params }];
    });
    const matched = found.find(({ route }) => route.method === method);
    if (matched !== undefined) return matched;
    if (found.length > 0) throw new HttpProblem(405, 'method not allowed');
    throw new HttpProblem(404, 'route not found');
  }
}

function paramsOf(
  pattern: readonly string[],
  segments: readonly string[],
): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (const [at, part] of pattern.entries()) {
    const segment = segments[at] ?? '';
    if (part.startsWith(':')) params[part.slice(1)] = decoded(segment);
    else if (part !== segment) return undefined;
  }
  return params;
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new HttpProblem(400, 'the path is not well formed');
  }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > MOST_BODY_BYTES)
      throw new HttpProblem(413, `the body is larger than ${MOST_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  if (sizeBytes === 0) return undefined;
  try {
    return parseJson(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new HttpProblem(400, 'the request body is no JSON');
  }
}

function bodyOf({ json, text }: HttpReply): { readonly type: string; readonly body: string } {
  if (text !== undefined) return text;
  return json === undefined
    ? { type: 'text/plain', body: '' }
    : { type: 'application/json', body: writeJson(json) };
}
