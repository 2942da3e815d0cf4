import { Worker } from 'node:worker_threads';
import type { WorkerOptions } from 'node:worker_threads';

/**
 * Starts the worker file `name` beside the module at `moduleUrl`: `.ts` when running from source, `.js` from `dist`.
 * The thread inherits the process's flags, so that it resolves sibling packages in the same way.
 */
export function startWorkerThread(
  moduleUrl: string,
  name: string,
  options: WorkerOptions = {},
): Worker {
  return new Worker(workerUrl(moduleUrl, name), { name, ...options });
}

/** Address of the worker file; see {@link startWorkerThread}. */
export function workerUrl(moduleUrl: string, name: string): URL {
  const extension = moduleUrl.endsWith('.ts') ? 'ts' : 'js';
  return new URL(`./${name}.${extension}`, moduleUrl);
}
