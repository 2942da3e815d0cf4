/** An HTTP engine that answers as a script says, and a sink that keeps what an engine writes. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { GenerateResponse } from '@dynamo-ts/protocol';
/** A scripted HTTP engine on a port of its own. */
export class ScriptedEngine {
  script;
  /** Bodies of all POSTs so far. */
  bodies = [];
  #server;
  constructor(script) {
    this.script = script;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }
  static async start(script, port = 0) {
    const engine = new ScriptedEngine(script);
    engine.#server.listen(port, '127.0.0.1');
    await once(engine.#server, 'listening');
    return engine;
  }
  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }
  async close() {
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }
  async [Symbol.asyncDispose]() {
    await this.close();
  }
  async #answer(request, response) {
    const text = (await request.toArray()).join('');
    const body = text === '' ? {} : JSON.parse(text);
    if (request.method === 'POST') this.bodies.push(body);
    const answer = this.script[`${request.method ?? ''} ${request.url ?? ''}`];
    if (typeof answer === 'function') {
      await answer({
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
export function events(...frames) {
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
export function refusal(status, body) {
  return ({ response }) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
}
/** Keeps what is written; its credit is given by the test. */
export class CollectingSink {
  responses = [];
  hasCredit = true;
  #ended = Promise.withResolvers();
  #drained = Promise.withResolvers();
  constructor() {
    this.#ended.promise.catch(() => undefined);
  }
  write(item) {
    this.responses.push(GenerateResponse.decode(item));
    return this.hasCredit;
  }
  async drained() {
    await this.#drained.promise;
  }
  /** Gives credit again. */
  drain() {
    this.hasCredit = true;
    this.#drained.resolve(undefined);
    this.#drained = Promise.withResolvers();
  }
  end() {
    this.#ended.resolve(undefined);
  }
  fail(error) {
    this.#ended.reject(error);
  }
  /** All responses once the answer has ended. @throws what it failed with */
  async answer() {
    await this.#ended.promise;
    return this.responses;
  }
}
//# sourceMappingURL=scripted-engine.js.map
