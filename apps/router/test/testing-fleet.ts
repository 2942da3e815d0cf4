/** Routers, workers and a frontend as separate processes would have them; for tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { loadConfig } from '@dynamo-ts/config';
import { DistributedRuntime, createPlanes } from '@dynamo-ts/runtime';
import type { Planes, RawHandler } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';

import { createRouter } from '../src/app.ts';
import type { RouterApp } from '../src/app.ts';
import { ROUTER_OPTIONS } from '../src/config.ts';

/** Endpoint of the workers. */
export const ENDPOINT = 'dynamo.backend.generate';

/** Routers, workers and a frontend that meet in a folder and talk over the mux, as separate processes would. */
export class Fleet implements AsyncDisposable {
  readonly folder: string;
  readonly #open: (() => Promise<void>)[] = [];

  constructor(folder: string) {
    this.folder = folder;
  }

  /** An empty fleet that meets in a folder of its own. */
  static async start(): Promise<Fleet> {
    return new Fleet(await mkdtemp(join(tmpdir(), 'router-')));
  }

  /** Starts a router in this process, with a runtime of its own, for blocks of 16 tokens. */
  async router(...flags: readonly string[]): Promise<RouterApp> {
    return this.routerOfAnySize('--router-block-size', '16', ...flags);
  }

  /** The same without a configured block size. */
  async routerOfAnySize(...flags: readonly string[]): Promise<RouterApp> {
    const env = { DYN_LOG: 'error', DYN_DISCOVERY_BACKEND: 'file', DYN_FILE_KV: this.folder };
    const argv = [
      ...['--event-plane', 'local', '--rpc-host', '127.0.0.1', '--router-grpc-port', '0'],
      ...['--system-port', '0', '--graceful-shutdown-grace-period', '0', ...flags],
    ];
    const { config } = loadConfig(ROUTER_OPTIONS, { argv, env, command: 'router', summary: '' });
    const app = createRouter(config);
    this.#open.push(() => app.close());
    await app.start();
    return app;
  }

  /** A process's runtime. */
  async runtime(): Promise<DistributedRuntime> {
    const planes = await this.#planes();
    const runtime = await DistributedRuntime.connect({ ...planes, logger: nullLogger });
    this.#open.push(async () => {
      await runtime.close();
      await planes.close();
    });
    return runtime;
  }

  /** Serves a handler as a worker. */
  async worker(handler: RawHandler): Promise<DistributedRuntime> {
    const runtime = await this.runtime();
    await runtime.endpoint(ENDPOINT).serveRaw(handler);
    return runtime;
  }

  async #planes(): Promise<Planes> {
    return createPlanes({
      discoveryBackend: 'file',
      requestPlane: 'grpc',
      eventPlane: 'local',
      fileDiscoveryDir: this.folder,
      rpcHost: '127.0.0.1',
      logger: nullLogger,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#open.toReversed()) await close();
    await rm(this.folder, { recursive: true, force: true });
  }
}
