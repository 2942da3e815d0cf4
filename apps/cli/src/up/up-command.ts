/** `dynamo up`: a frontend and workers on this machine, and a banner when a client would be answered. */
import { AbortReasonError } from '@dynamo-ts/base';
import { failStart, runService } from '@dynamo-ts/config';
import type { Environment, RunnableService } from '@dynamo-ts/config';

import { renderBanner } from './banner.ts';
import { ignoredRouterSettings, ignoredSettings } from './decided-settings.ts';
import type { Fleet } from './fleet.ts';
import { waitUntilServable } from './readiness.ts';
import type { Progress } from './readiness.ts';
import { UP_OPTIONS, workerEngines } from './up-options.ts';
import type { UpConfig } from './up-options.ts';

const COMMAND = 'dynamo up';

/** Runs `dynamo up` until it is stopped. */
export async function runUp(input: {
  readonly argv: readonly string[];
  readonly env: Environment;
}): Promise<void> {
  await runService({
    ...input,
    command: COMMAND,
    summary: 'Starts an OpenAI-compatible endpoint with workers on this machine.',
    options: UP_OPTIONS,
    health: (config) => ({ port: config.httpPort, path: config.healthPath }),
    create: async (config, origins) => {
      for (const line of ignoredSettings(input.env)) process.stderr.write(line);
      process.stderr.write(ignoredRouterSettings(config, origins) ?? '');
      return new Up(config, await createFleet(config, origins, input.env));
    },
  });
}

async function createFleet(
  config: UpConfig,
  origins: Readonly<Record<string, string>>,
  env: Environment,
): Promise<Fleet> {
  if (config.processes) {
    const { ProcessFleet } = await import('./process-fleet.ts');
    return new ProcessFleet({ config, origins, env });
  }
  const { LocalFleet } = await import('./local-fleet.ts');
  return new LocalFleet(config);
}

class Up implements RunnableService {
  readonly #config: UpConfig;
  readonly #fleet: Fleet;
  readonly #stopping = new AbortController();

  constructor(config: UpConfig, fleet: Fleet) {
    this.#config = config;
    this.#fleet = fleet;
  }

  async start(): Promise<void> {
    const fleet = this.#fleet;
    try {
      await fleet.start();
      const ready = waitUntilServable({
        port: fleet.httpPort,
        healthPath: this.#config.healthPath,
        modelsPath: this.#config.modelsPath,
        workers: this.#workers,
        signal: this.#stopping.signal,
        onSlow: (progress) => this.#tellSlow(progress),
      });
      const progress = await Promise.race([ready, fleet.failed]);
      fleet.ready();
      process.stdout.write(this.#banner(progress));
      void fleet.failed.catch(async (error: unknown) => this.#end(error));
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#stopping.abort(new AbortReasonError('shutdown'));
    await this.#fleet.close();
  }

  /** A service is gone for good, and what is left answers nobody. */
  async #end(error: unknown): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    await this.close();
    failStart(error, COMMAND);
  }

  get #workers(): number {
    return workerEngines(this.#config).length;
  }

  #banner(progress: Progress): string {
    const { engine, routerMode } = this.#config;
    return renderBanner({
      ...progress,
      engine,
      routerMode,
      port: this.#fleet.httpPort,
      startedInMs: performance.now(),
      processIds: this.#fleet.processIds,
    });
  }

  #tellSlow({ workers, waitedMs }: Progress & { readonly waitedMs: number }): void {
    const { engine } = this.#config;
    const seconds = Math.round(waitedMs / 1000);
    process.stderr.write(
      `waiting: ${workers} of ${this.#workers} ${engine} workers ready after ${seconds} s\n`,
    );
  }
}
