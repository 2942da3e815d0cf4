/**
 * Connects an engine with where its requests come from (RF 1.16), by the factories of frontend and worker on a runtime of
 * the caller. Everything it starts ends with the signal, or with the last answer; the runtime stays open.
 */
import { onAbort } from '@dynamo-ts/base';
import { createFrontend } from '@dynamo-ts/frontend';
import type { DistributedRuntime } from '@dynamo-ts/runtime';
import { MetricsRegistry, Tracer } from '@dynamo-ts/telemetry';
import type { Telemetry } from '@dynamo-ts/telemetry';
import { createWorkerShim } from '@dynamo-ts/worker-shim';

import { inputOf, isPromptInput } from './input.ts';
import type { Input } from './input.ts';
import type { EntrypointEngine } from './make-engine.ts';
import { runPrompts } from './prompt-inputs.ts';
import type { RunInputOptions } from './run-input-options.ts';

interface Service {
  start(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Serves until the signal is aborted or all prompts are answered, then lets requests end.
 *
 * @throws `request.invalid` for an input that does not go with the engine, `runtime.not_implemented` for one that is not
 * offered, what starting frontend or worker throws, and what prompts fail with
 */
export async function runInput(options: RunInputOptions): Promise<void> {
  const input = inputOf(options.input, options.engine);
  const telemetry = telemetryOf(options.runtime);
  const services: Service[] = [];
  const start = async (service: Service): Promise<boolean> => {
    services.push(service);
    return startUnlessStopped(service, options.signal);
  };
  try {
    let url: string | undefined;
    if (input.kind !== 'endpoint') {
      // First: a taken port is known before an engine loads a model.
      const frontend = await createFrontend(frontendConfig(options, input), {
        runtime: options.runtime,
        telemetry,
      });
      if (!(await start(frontend))) return;
      url = frontend.url;
    }
    const worker = createWorker(options, input, telemetry);
    if (worker !== undefined && !(await start(worker))) return;
    options.onReady?.({ url: isPromptInput(input) ? undefined : url });
    if (isPromptInput(input) && url !== undefined) await runPrompts({ ...options, input, url });
    else await aborted(options.signal);
  } finally {
    // The frontend lets its requests end while the worker still answers.
    for (const service of services) await service.close();
  }
}

/** A start may wait for ever, for example for discovery; closing ends it. @returns whether it has come to its end */
async function startUnlessStopped(service: Service, signal: AbortSignal): Promise<boolean> {
  const interrupted = Promise.withResolvers<boolean>();
  const forget = onAbort(signal, () => {
    service.close().then(() => interrupted.resolve(false), interrupted.reject);
  });
  const started = service.start().then(
    () => !signal.aborted,
    (error: unknown) => {
      if (signal.aborted) return false;
      throw error;
    },
  );
  try {
    return await Promise.race([started, interrupted.promise]);
  } finally {
    forget();
  }
}

/** The engine's; nobody else is to reach the one that only answers prompts of this process. */
function frontendConfig(
  { engine: { frontend } }: RunInputOptions,
  input: Input,
): EntrypointEngine['frontend'] {
  return isPromptInput(input) ? { ...frontend, httpHost: '127.0.0.1', httpPort: 0 } : frontend;
}

function createWorker(
  { runtime, engine }: RunInputOptions,
  input: Input,
  telemetry: Telemetry,
): Service | undefined {
  if (engine.worker === undefined) return undefined;
  const endpoint = (input.kind === 'endpoint' ? input.uri : undefined) ?? engine.worker.endpoint;
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
