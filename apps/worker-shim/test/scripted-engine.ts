/** An HTTP engine that answers as a script says, and a sink that keeps what an engine writes. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { GenerateResponse } from '@dynamo-ts/protocol';
import type { ResponseSink } from '@dynamo-ts/runtime';

/** A request's body and where its answer goes. */
export interface ScriptedRequest {
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers: IncomingHttpHeaders;
  readonly response: ServerResponse;
}

/** Answers of a {@link ScriptedEngine}, by method and path; a value that is no function is sent as JSON. */
export type Script = Record<string, unknown>;

/** A scripted HTTP engine on a port of its own. */
export class ScriptedEngine implements AsyncDisposable {
  readonly script: Script;
  /** Bodies of all POSTs so far. */
  readonly bodies: Readonly<Record<string, unknown>>[] = [];
  readonly #server: Server;

  private constructor(script: Script) {
    this.script = script;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(script: Script, port = 0): Promise<ScriptedEngine> {
    const engine = new ScriptedEngine(script);
    engine.#server.listen(port, '127.0.0.1');
    await once(engine.#server, 'listening');
    return engine;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = (await request.toArray()).join('');
    const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
    if (request.method === 'POST') this.bodies.push(body);
    const answer = this.script[`${request.method ?? ''} ${request.url ?? ''}`];
    if (typeof answer === 'function') {
      await (answer as (request: ScriptedRequest) => unknown)({
        body,
        headers: request.headers,
        response,
      });
    } else {
      response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer ?? { error: { message: 'File Not Found', code: 404 } }));
    }
  }
}

/** Sends events as a stream and ends it. */
export function events(...frames: readonly unknown[]): (request: ScriptedRequest) => void {
  return ({ response }) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(
      frames
        .map((frame) => `data: ${typeof frame === 'string' ? frame : JSON.stringify(frame)}\n\n`)
        .join(''),
    );
  };
}

/** Refuses with a status and a JSON body. */
export function refusal(status: number, body: unknown): (request: ScriptedRequest) => void {
  return ({ response }) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
}

/** Keeps what is written; its credit is given by the test. */
export class CollectingSink implements ResponseSink {
  readonly responses: GenerateResponse[] = [];
  hasCredit = true;
  readonly #ended = Promise.withResolvers<undefined>();
  #drained = Promise.withResolvers<undefined>();

  constructor() {
    this.#ended.promise.catch(() => undefined);
  }

  write(item: Uint8Array): boolean {
    this.responses.push(GenerateResponse.decode(item));
    return this.hasCredit;
  }

  async drained(): Promise<void> {
    await this.#drained.promise;
  }

  /** Gives credit again. */
  drain(): void {
    this.hasCredit = true;
    this.#drained.resolve(undefined);
    this.#drained = Promise.withResolvers<undefined>();
  }

  end(): void {
    this.#ended.resolve(undefined);
  }

  fail(error: unknown): void {
    this.#ended.reject(error);
  }

  /** All responses once the answer has ended. @throws what it failed with */
  async answer(): Promise<readonly GenerateResponse[]> {
    await this.#ended.promise;
    return this.responses;
  }
}
