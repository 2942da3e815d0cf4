/** A router process's parts over HTTP, asked as curl would; for tests. */
import { loadConfig } from '@dynamo-ts/config';

import { createRouter } from '../src/app.ts';
import type { RouterApp } from '../src/app.ts';
import { ROUTER_OPTIONS } from '../src/config.ts';

/** An answer as text, because numbers in it may be too long for a double. */
export interface TextAnswer {
  readonly status: number;
  readonly text: string;
}

/** A service that stands alone. */
export class HttpService implements AsyncDisposable {
  readonly app: RouterApp;

  private constructor(app: RouterApp) {
    this.app = app;
  }

  /** Starts a form of the service on a free port. */
  static async start(form: string, ...flags: readonly string[]): Promise<HttpService> {
    const argv = ['--router-service', form, '--router-http-port', '0', ...flags];
    const { config } = loadConfig(ROUTER_OPTIONS, {
      argv: ['--router-http-host', '127.0.0.1', '--graceful-shutdown-grace-period', '0', ...argv],
      env: { DYN_LOG: 'error' },
      command: 'router',
      summary: '',
    });
    const app = createRouter(config);
    await app.start();
    return new HttpService(app);
  }

  get url(): string {
    return `http://127.0.0.1:${this.app.httpPort}`;
  }

  async get(path: string): Promise<TextAnswer> {
    return this.#fetch('GET', path);
  }

  /** Sends JSON text. */
  async post(path: string, body: string): Promise<TextAnswer> {
    return this.#fetch('POST', path, body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.app.close();
  }

  async #fetch(method: string, path: string, body?: string): Promise<TextAnswer> {
    const init = body === undefined ? { method } : { method, body };
    const response = await fetch(`${this.url}${path}`, init);
    return { status: response.status, text: await response.text() };
  }
}
