/**
 * The router service: placement and bookings for frontends in other processes, on the request plane and over gRPC; or one
 * part of it alone over HTTP.
 */
import { Lifecycle } from '@dynamo-ts/base';
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import { HealthState, SystemServer, createTelemetry } from '@dynamo-ts/telemetry';
import type { Telemetry } from '@dynamo-ts/telemetry';

import type { RouterConfig } from './config.ts';
import { startRouterForm } from './router-form.ts';
import type { RouterSeat, StartedForm } from './router-seat.ts';
import { startStandaloneForm } from './standalone/standalone-form.ts';

/** What a process that holds several services gives to each; what is given is not closed here. */
export interface RouterDeps {
  readonly runtime?: DistributedRuntime | undefined;
  readonly telemetry?: Telemetry | undefined;
}

/** A router service. */
export interface RouterApp {
  /** Resolves when it can be asked. */
  start(): Promise<void>;
  /** Stops gracefully; also after a start that failed. Idempotent. */
  close(): Promise<void>;
  /** Port of the gRPC services once started; undefined when they are off. */
  readonly grpcPort: number | undefined;
  /** Port of the calls over HTTP once started; undefined when they are off. */
  readonly httpPort: number | undefined;
  /** Port of the status server once started; undefined when it is off. */
  readonly systemPort: number | undefined;
}

/** Makes a router service that is not started yet. */
export function createRouter(config: RouterConfig, deps: RouterDeps = {}): RouterApp {
  return new RouterProcess(config, deps);
}

class RouterProcess implements RouterApp {
  readonly #seat: RouterSeat;
  #form: StartedForm = {};
  #systemPort: number | undefined;

  constructor(config: RouterConfig, deps: RouterDeps) {
    const telemetry = deps.telemetry ?? createTelemetry({ service: 'router', ...config });
    const health = new HealthState({ startingStatus: config.systemStartingHealthStatus });
    const lifecycle = new Lifecycle({
      gracePeriodMs: config.gracePeriodMs,
      onError: (error, phase, step) => {
        telemetry.logger.error('shutdown step failed', { error, phase, step });
      },
    });
    if (deps.telemetry === undefined)
      lifecycle.onShutdown('telemetry', 'telemetry', () => telemetry.close());
    lifecycle.onShutdown('not-ready', 'health', () => {
      health.markClosing();
    });
    this.#seat = { config, telemetry, lifecycle, health, givenRuntime: deps.runtime };
  }

  get grpcPort(): number | undefined {
    return this.#form.grpcPort;
  }

  get httpPort(): number | undefined {
    return this.#form.httpPort;
  }

  get systemPort(): number | undefined {
    return this.#systemPort;
  }

  async start(): Promise<void> {
    await this.#startSystemServer();
    const { routerService } = this.#seat.config;
    this.#form =
      routerService === 'router'
        ? await startRouterForm(this.#seat)
        : await startStandaloneForm(this.#seat, routerService);
  }

  async close(): Promise<void> {
    await this.#seat.lifecycle.close();
  }

  async #startSystemServer(): Promise<void> {
    const { config, telemetry, lifecycle, health } = this.#seat;
    const { systemHost, systemPort, systemHealthPath, systemLivePath } = config;
    const server = await SystemServer.listen({
      health,
      metrics: telemetry.metrics,
      logger: telemetry.logger,
      host: systemHost,
      port: systemPort,
      healthPath: systemHealthPath,
      livePath: systemLivePath,
      pages: async (url) => this.#form.pages?.(url),
    });
    lifecycle.onShutdown('telemetry', 'status server', () => server.close());
    this.#systemPort = server.port;
  }
}
