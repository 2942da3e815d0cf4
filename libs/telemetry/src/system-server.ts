/**
 * The status server of a process: `/health`, `/live`, `/metrics` and what its owner adds, on a port of its own, so that probes
 * and scrapes never compete with requests for a listener. Plain node:http: it must start in a millisecond and answer when all else is busy.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';

import { DynamoError } from '@dynamo-ts/base';

import type { HealthState } from './health-state.ts';
import type { Logger } from './logger.ts';
import { METRICS_CONTENT_TYPE } from './metrics-registry.ts';
import type { MetricsRegistry } from './metrics-registry.ts';

/** Settings of {@link SystemServer}. */
export interface SystemServerOptions {
  readonly health: HealthState;
  readonly metrics: MetricsRegistry;
  readonly logger: Logger;
  /** Address to listen on. @default "0.0.0.0" */
  readonly host?: string | undefined;
  /** -1 starts no server, 0 takes any free port. @default -1 */
  readonly port?: number | undefined;
  /** @default "/health" */
  readonly healthPath?: string | undefined;
  /** @default "/live" */
  readonly livePath?: string | undefined;
  /** Answers further GET requests by their URL; undefined leaves them to the 404. */
  readonly pages?: ((url: string) => Promise<SystemPage | undefined>) | undefined;
  /** Answers POST requests, of at most 64 KiB; undefined leaves them to the 404. */
  readonly actions?: ((action: SystemAction) => Promise<SystemPage | undefined>) | undefined;
}

/** Something that this process is told to do. */
export interface SystemAction {
  readonly url: string;
  readonly body: string;
}

/** A JSON answer. */
export interface SystemPage {
  readonly status: number;
  readonly json: string;
}

/** Serves health and metrics of this process. */
export class SystemServer implements AsyncDisposable {
  readonly #options: SystemServerOptions;
  readonly #startedMs = performance.now();
  readonly #server: Server | undefined;

  private constructor(options: SystemServerOptions) {
    this.#options = options;
    if ((options.port ?? -1) < 0) return;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        options.logger.error('status request failed', { error, uri: request.url });
        response.destroy();
      });
    });
  }

  /** Starts the server, or none when the port is negative. @throws config.port_in_use */
  static async listen(options: SystemServerOptions): Promise<SystemServer> {
    const system = new SystemServer(options);
    await system.#listen();
    return system;
  }

  /** The port in use; undefined when no server runs. */
  get port(): number | undefined {
    const address = this.#server?.address();
    return typeof address === 'object' ? address?.port : undefined;
  }

  /** Stops serving. */
  async close(): Promise<void> {
    const server = this.#server;
    if (!server?.listening) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #listen(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    const { host = '0.0.0.0', port = 0 } = this.#options;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenError(error, host, port)));
      server.listen(port, host, resolve);
    });
    this.#options.logger.info('status server listens', { host, port: this.port });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { healthPath = '/health', livePath = '/live', metrics } = this.#options;
    const path = (request.url ?? '/').split('?', 1)[0];
    if (request.method === 'POST') {
      sendPage(response, await this.#act(request));
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      send(response, NOT_FOUND);
    } else if (path === healthPath || path === livePath) {
      this.#answerHealth(response);
    } else if (path === '/metrics') {
      send(response, { status: 200, type: METRICS_CONTENT_TYPE, body: await metrics.text() });
    } else {
      sendPage(response, await this.#options.pages?.(request.url ?? '/'));
    }
  }

  async #act(request: IncomingMessage): Promise<SystemPage | undefined> {
    const { actions } = this.#options;
    if (actions === undefined) return undefined;
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    for await (const chunk of request as AsyncIterable<Uint8Array>) {
      sizeBytes += chunk.byteLength;
      if (sizeBytes > MAX_ACTION_BYTES) return { status: 413, json: '{"error":"too large"}' };
      chunks.push(chunk);
    }
    return actions({ url: request.url ?? '/', body: Buffer.concat(chunks).toString() });
  }

  #answerHealth(response: ServerResponse): void {
    const { health } = this.#options;
    const { status, endpoints } = health.snapshot();
    const uptimeMs = performance.now() - this.#startedMs;
    const secs = Math.floor(uptimeMs / 1000);
    const nanos = Math.floor((uptimeMs % 1000) * 1_000_000);
    send(response, {
      status: status === 'ready' ? 200 : 503,
      type: JSON_TYPE,
      body: JSON.stringify({ status, uptime: { secs, nanos }, endpoints, ...health.details() }),
    });
  }
}

const JSON_TYPE = 'application/json';
const MAX_ACTION_BYTES = 64 * 1024;
const NOT_FOUND = { status: 404, type: 'text/plain', body: 'Route not found' };

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

function sendPage(response: ServerResponse, page: SystemPage | undefined): void {
  send(response, page === undefined ? NOT_FOUND : { ...page, type: JSON_TYPE, body: page.json });
}

function send(response: ServerResponse, { status, type, body }: Answer): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): DynamoError {
  if (error.code === 'EADDRINUSE')
    return new DynamoError(
      'config.port_in_use',
      `status server cannot listen on ${host}:${port}: the port is taken; choose another with DYN_SYSTEM_PORT`,
      { details: { port }, cause: error },
    );
  return new DynamoError(
    'config.invalid',
    `status server cannot listen on ${host}:${port} (${error.code ?? error.message}); check DYN_SYSTEM_HOST and DYN_SYSTEM_PORT`,
    { cause: error },
  );
}
