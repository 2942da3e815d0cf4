/** An OpenAI-compatible engine of the suite's own: it answers, badly or not at all, as the scenario says. */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What it does with a request for an answer; the body has been read. */
export type Answer = (body: string, response: ServerResponse) => void;

/** An engine that a worker can attach to. */
export class ScriptedEngine implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Starts to listen on a free port of loopback. */
  static async start(answer: Answer): Promise<ScriptedEngine> {
    const server = createServer((request, response) => {
      if (request.url === '/v1/models')
        response.end(JSON.stringify({ object: 'list', data: [{ id: 'upstream' }] }));
      else if (request.method === 'POST') void read(request).then((body) => answer(body, response));
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new ScriptedEngine(server);
  }

  /** Arguments of a worker that attaches to it. */
  get workerArgs(): readonly string[] {
    const { port } = this.#server.address() as AddressInfo; // it listens on TCP
    return ['--engine=openai', `--engine-url=http://127.0.0.1:${port}`, '--engine-input=text'];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
