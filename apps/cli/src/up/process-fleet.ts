/** Every service in a process of its own, finding each other through files in a private directory. */
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';

import { DynamoError } from '@dynamo-ts/base';
import { LOADER_OPTIONS, unknownVariables, writeFlags } from '@dynamo-ts/config';
import type { Environment, Options } from '@dynamo-ts/config';
import { FRONTEND_OPTIONS } from '@dynamo-ts/frontend';
import { createTelemetry } from '@dynamo-ts/telemetry';
import type { Telemetry } from '@dynamo-ts/telemetry';
import { WORKER_OPTIONS } from '@dynamo-ts/worker-shim';

import { serviceEntry } from '../service-entry.ts';
import type { ServiceName } from '../service-entry.ts';
import type { Fleet } from './fleet.ts';
import { createFleetDirectory } from './fleet-directory.ts';
import { SupervisedProcess } from './supervised-process.ts';
import { UP_OPTIONS, workerEngines } from './up-options.ts';
import type { UpConfig } from './up-options.ts';

/** What a {@link ProcessFleet} is made of. */
export interface ProcessFleetOptions {
  readonly config: UpConfig;
  /** Where each value was written; what the environment gives, children read there themselves. */
  readonly origins: Readonly<Record<string, string>>;
  readonly env: Environment;
}

interface ServiceProcess {
  readonly name: string;
  readonly service: ServiceName;
  readonly options: Options;
  /** What this one is given beside what all are given. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** Runs and supervises one process per service. */
export class ProcessFleet implements Fleet {
  readonly failed: Promise<never>;
  readonly #options: ProcessFleetOptions;
  readonly #telemetry: Telemetry;
  readonly #processes: SupervisedProcess[] = [];
  #directory: string | undefined;
  #fail: (error: DynamoError) => void = () => {};
  #httpPort: number;

  constructor(options: ProcessFleetOptions) {
    this.#options = options;
    this.#telemetry = createTelemetry({ service: 'up', ...options.config });
    this.#httpPort = options.config.httpPort;
    this.failed = new Promise((_resolve, reject) => (this.#fail = reject));
    this.failed.catch(() => undefined); // nobody may be waiting for it
  }

  get httpPort(): number {
    return this.#httpPort;
  }

  get processIds(): ReadonlyMap<string, number> {
    return new Map(this.#processes.map(({ name, pid }) => [name, pid ?? 0]));
  }

  async start(): Promise<void> {
    const { config } = this.#options;
    this.#httpPort = await claimPort(config.httpHost, config.httpPort);
    this.#directory = await createFleetDirectory();
    const frontend = this.#add({
      name: 'frontend',
      service: 'frontend',
      options: FRONTEND_OPTIONS,
      settings: { httpPort: this.#httpPort },
    });
    if (config.routerPlacement === 'service') {
      const { ROUTER_OPTIONS } = await import('@dynamo-ts/router');
      this.#add({ name: 'router', service: 'router', options: ROUTER_OPTIONS });
    }
    for (const [index, engine] of workerEngines(config).entries())
      this.#add({
        name: `worker-${index + 1}`,
        service: 'worker-shim',
        options: WORKER_OPTIONS,
        settings: { ...engine },
      });
    for (const supervised of this.#processes) supervised.start();
    // Until it has the port, whoever answers there may be somebody else's frontend.
    await Promise.race([frontend.started, this.failed]);
  }

  /** From now on services that die are started again. */
  ready(): void {
    for (const supervised of this.#processes) supervised.ready();
  }

  async close(): Promise<void> {
    for (const supervised of this.#processes) supervised.retire();
    // The frontend first: it lets its requests end while the workers still answer.
    const [frontend, ...others] = this.#processes;
    await frontend?.close();
    await Promise.all(others.map(async (supervised) => supervised.close()));
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
    await this.#telemetry.close();
  }

  #add({ name, service, options, settings = {} }: ServiceProcess): SupervisedProcess {
    const flags = writeFlags(options, {
      ...this.#forwarded(options),
      ...settings,
      discoveryBackend: 'file',
      fileDiscoveryDir: this.#directory,
      requestPlane: 'grpc',
      eventPlane: 'direct',
      rpcHost: '127.0.0.1',
      rpcAdvertisedHost: '127.0.0.1',
      systemPort: -1,
    });
    const supervised = new SupervisedProcess({
      name,
      command: [serviceEntry(service), ...flags],
      env: this.#childEnv(),
      logger: this.#telemetry.logger,
      onFailure: (error) => this.#fail(error),
    });
    this.#processes.push(supervised);
    return supervised;
  }

  /**
   * Without what is misspelt, which is told once and not by every service again, and without the file of `up`: what it
   * says is forwarded, and no service knows all of it.
   */
  #childEnv(): Environment {
    const unknown = unknownVariables(this.#options.env, UP_OPTIONS);
    const misspelt = unknown.flatMap(({ name, meant }) => (meant === undefined ? [] : [name]));
    const ofUp = Object.values(LOADER_OPTIONS).map(({ env }) => env);
    const dropped = new Set([...misspelt, ...ofUp]);
    const { env } = this.#options;
    return Object.fromEntries(Object.entries(env).filter(([name]) => !dropped.has(name)));
  }

  /** What was written as flags or in a file, and what `up` defaults differently. */
  #forwarded(options: Options): Readonly<Record<string, unknown>> {
    const { config, origins } = this.#options;
    const known: Options = UP_OPTIONS;
    const values: Readonly<Record<string, unknown>> = config;
    const forwarded = Object.entries(options).filter(([key, definition]) => {
      if (known[key] === undefined || origins[key]?.startsWith('environment') === true)
        return false;
      return origins[key] !== 'default' || values[key] !== definition.fallback;
    });
    return Object.fromEntries(forwarded.map(([key]) => [key, values[key]]));
  }
}

/** Checks that a port is free, or finds one for 0, before processes are started that need it. @throws config.port_in_use */
async function claimPort(host: string, port: number): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === 'EADDRINUSE'
          ? new DynamoError(
              'config.port_in_use',
              `port ${port} is taken: stop what listens there or choose another with --http-port`,
              { cause },
            )
          : new DynamoError(
              'config.invalid',
              `cannot listen on ${host}:${port}: ${cause.message}`,
              {
                cause,
              },
            ),
      ),
    );
    server.listen(port, host, resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : port;
}
