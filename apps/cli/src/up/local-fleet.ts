/** All services in this process, joined by planes that are direct calls. */
import type { Frontend } from '@dynamo-ts/frontend';
import { DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import type { Planes } from '@dynamo-ts/runtime';
import { createTelemetry } from '@dynamo-ts/telemetry';
import type { Telemetry } from '@dynamo-ts/telemetry';

import type { Fleet } from './fleet.ts';
import { workerEngines } from './up-options.ts';
import type { UpConfig } from './up-options.ts';

interface Service {
  start(): Promise<void>;
  close(): Promise<void>;
}

interface ServiceDeps {
  readonly runtime: DistributedRuntime;
  readonly telemetry: Telemetry;
}

/** What every service is told about where it runs. */
const LOCAL = {
  discoveryBackend: 'mem',
  requestPlane: 'local',
  eventPlane: 'local',
  fileDiscoveryDir: undefined,
  systemPort: -1,
  endpoints: [],
} as const;

/** Runs frontend, workers and, when asked for, the router in one process. */
export class LocalFleet implements Fleet {
  readonly processIds: ReadonlyMap<string, number> = new Map();
  readonly failed: Promise<never>;
  readonly #config: UpConfig;
  readonly #telemetry: Telemetry;
  readonly #planes: Planes = createLocalPlanes();
  readonly #services: Service[] = [];
  readonly #runtimes: DistributedRuntime[] = [];
  #frontend: Frontend | undefined;
  #fail: (error: unknown) => void = () => {};
  #state: 'starting' | 'serving' | 'closing' = 'starting';

  constructor(config: UpConfig) {
    this.#config = config;
    this.failed = new Promise((_resolve, reject) => (this.#fail = reject));
    this.failed.catch(() => undefined); // nobody may be waiting for it
    this.#telemetry = createTelemetry({ service: 'up', ...config });
  }

  get httpPort(): number {
    const url = this.#frontend === undefined ? null : URL.parse(this.#frontend.url);
    return url === null ? this.#config.httpPort : Number(url.port);
  }

  async start(): Promise<void> {
    // The frontend first: a taken port is known before an engine loads a model.
    const [{ createFrontend }, { createWorkerShim }] = await Promise.all([
      import('@dynamo-ts/frontend'),
      import('@dynamo-ts/worker-shim'),
    ]);
    const config = { ...this.#config, ...LOCAL };
    this.#frontend = await this.#add('frontend', (deps) => createFrontend(config, deps));
    await this.#frontend.start();
    const others: Service[] = [];
    if (config.routerPlacement === 'service') {
      const { createRouter } = await import('@dynamo-ts/router');
      others.push(await this.#add('router', (deps) => createRouter(config, deps)));
    }
    for (const [index, engine] of workerEngines(this.#config).entries()) {
      const create = (deps: ServiceDeps) => createWorkerShim({ ...config, ...engine }, deps);
      others.push(await this.#add(`worker-${index + 1}`, create));
    }
    // Not waited for: an engine may load for minutes, and the others serve meanwhile.
    for (const service of others) void this.#startService(service);
  }

  /** From now on a service that cannot start is one less, and no end. */
  ready(): void {
    this.#state = 'serving';
  }

  async close(): Promise<void> {
    this.#state = 'closing';
    // In order of addition: the frontend lets its requests end while the workers still answer.
    for (const service of this.#services.splice(0)) await service.close();
    await Promise.all(this.#runtimes.splice(0).map(async (runtime) => runtime.close()));
    await this.#planes.close();
    await this.#telemetry.close();
  }

  async #startService(service: Service): Promise<void> {
    try {
      await service.start();
    } catch (error) {
      if (this.#state === 'starting') this.#fail(error);
      if (this.#state === 'serving')
        this.#telemetry.logger.error('a service could not start', { error });
    }
  }

  /** Makes a service with a runtime of its own on the shared planes. */
  async #add<S extends Service>(
    name: string,
    create: (deps: ServiceDeps) => S | Promise<S>,
  ): Promise<S> {
    const telemetry = {
      ...this.#telemetry,
      logger: this.#telemetry.logger.child({ target: name }),
    };
    const runtime = await DistributedRuntime.connect({
      ...this.#planes,
      ...telemetry,
      namespace: this.#config.namespace,
    });
    this.#runtimes.push(runtime);
    const service = await create({ runtime, telemetry });
    this.#services.push(service);
    return service;
  }
}
