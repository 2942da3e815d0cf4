/**
 * Connects an engine with where its requests come from (RF 1.16), by the factories of frontend and worker on a runtime of
 * the caller. Everything it starts ends with the signal; the runtime stays open.
 */
import { DynamoError, onAbort } from '@dynamo-ts/base';
import { createFrontend } from '@dynamo-ts/frontend';
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import { MetricsRegistry, Tracer } from '@dynamo-ts/telemetry';
import type { Telemetry } from '@dynamo-ts/telemetry';
import { createWorkerShim } from '@dynamo-ts/worker-shim';

import type { EntrypointEngine } from './make-engine.ts';

/** Parameters of {@link runInput}. */
export interface RunInputOptions {
  readonly runtime: DistributedRuntime;
  /**
   * `http`: an OpenAI-compatible server. `dyn://namespace.component.endpoint`: a worker at that endpoint. `none`: a worker
   * at its default endpoint.
   */
  readonly input: string;
  readonly engine: EntrypointEngine;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Told when requests are taken. */
  readonly onReady?: (ready: ReadyInput) => void;
}

/** An input that takes requests. */
export interface ReadyInput {
  /** `http://host:port`; undefined when the input is no server. */
  readonly url: string | undefined;
}

interface Service {
  start(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Serves until the signal is aborted, then lets requests end.
 *
 * @throws `request.invalid` for an input that does not go with the engine, `runtime.not_implemented` for one that is not
 * offered, and what starting frontend or worker throws
 */
export async function runInput(options: RunInputOptions): Promise<void> {
  const isServer = isServerInput(options);
  const telemetry = telemetryOf(options.runtime);
  const services: Service[] = [];
  const start = async (service: Service): Promise<void> => {
    services.push(service);
    await service.start();
  };
  try {
    let url: string | undefined;
    if (isServer) {
      // First: a taken port is known before an engine loads a model.
      const { runtime, engine } = options;
      const frontend = await createFrontend(engine.frontend, { runtime, telemetry });
      await start(frontend);
      url = frontend.url;
    }
    const worker = createWorker(options, telemetry);
    if (worker !== undefined) await start(worker);
    options.onReady?.({ url });
    await aborted(options.signal);
  } finally {
    // The frontend lets its requests end while the worker still answers.
    for (const service of services) await service.close();
  }
}

/** Whether the input is a server; else it is a worker's endpoint. */
function isServerInput({ input, engine }: RunInputOptions): boolean {
  if (input === 'http') return true;
  if (input !== 'none' && !input.startsWith('dyn://')) {
    throw new DynamoError(
      'runtime.not_implemented',
      `there is no input "${input}"; there are http, dyn://namespace.component.endpoint and none`,
    );
  }
  if (engine.worker !== undefined) return false;
  throw new DynamoError(
    'request.invalid',
    `the input ${input} needs an engine of this process, and a dynamic one has its workers elsewhere; use http`,
  );
}

function createWorker(
  { runtime, input, engine }: RunInputOptions,
  telemetry: Telemetry,
): Service | undefined {
  if (engine.worker === undefined) return undefined;
  const endpoint = input.startsWith('dyn://') ? input : engine.worker.endpoint;
  return createWorkerShim({ ...engine.worker, endpoint }, { runtime, telemetry });
}

/** What the runtime reports through. */
function telemetryOf({ logger, metrics, tracer }: DistributedRuntime): Telemetry {
  const close = async (): Promise<void> => {};
  return {
    logger,
    metrics: metrics ?? new MetricsRegistry(),
    tracer: tracer ?? new Tracer(),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    onAbort(signal, resolve);
  });
}
