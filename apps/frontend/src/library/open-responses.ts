import type { Server, ServerResponse } from 'node:http';

/** Responses that have not been handed to their sockets completely. */
export class OpenResponses {
  readonly #open = new Set<ServerResponse>();
  readonly #waiting: (() => void)[] = [];

  constructor(server: Server) {
    server.on('request', (_request, response: ServerResponse) => {
      this.#open.add(response);
      response.once('close', () => this.#closed(response));
    });
  }

  /** Resolves when there is none. */
  async none(): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #closed(response: ServerResponse): void {
    this.#open.delete(response);
    if (this.#open.size > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
