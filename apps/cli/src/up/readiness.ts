/** Asks the endpoint itself whether a client would be answered: healthy, and at least one model is served. */
import { get } from 'node:http';

import { systemClock } from '@dynamo-ts/base';

const POLL_MS = 25;
const REQUEST_TIMEOUT_MS = 2000;
const FIRST_NOTE_MS = 3000;
const NOTE_INTERVAL_MS = 5000;

/** Settings of {@link waitUntilServable}. */
export interface ReadinessOptions {
  readonly port: number;
  readonly healthPath: string;
  readonly modelsPath: string;
  readonly signal: AbortSignal;
  /** Told every few seconds while a start is slow. */
  readonly onSlow: (waitedMs: number) => void;
}

/** Waits until a model is served. @returns the names of the models */
export async function waitUntilServable(options: ReadinessOptions): Promise<readonly string[]> {
  const { signal, onSlow } = options;
  const startedMs = performance.now();
  let noteAtMs = FIRST_NOTE_MS;
  for (;;) {
    const models = await servedModels(options);
    if (models.length > 0) return models;
    const waitedMs = performance.now() - startedMs;
    if (waitedMs > noteAtMs) {
      noteAtMs += NOTE_INTERVAL_MS;
      onSlow(waitedMs);
    }
    await systemClock.sleep(POLL_MS, { signal });
  }
}

async function servedModels(options: ReadinessOptions): Promise<readonly string[]> {
  const { port, healthPath, modelsPath } = options;
  if ((await getJson(port, healthPath)) === undefined) return [];
  const body = await getJson(port, modelsPath);
  if (typeof body !== 'object' || body === null || !('data' in body)) return [];
  if (!Array.isArray(body.data)) return [];
  return body.data.flatMap((model: unknown) =>
    typeof model === 'object' && model !== null && 'id' in model && typeof model.id === 'string'
      ? [model.id]
      : [],
  );
}

/** The body of a 200 answer, undefined for anything else. */
async function getJson(port: number, path: string): Promise<unknown> {
  return new Promise((resolve) => {
    const request = get(
      { host: '127.0.0.1', port, path, timeout: REQUEST_TIMEOUT_MS },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => resolve(answer.statusCode === 200 ? tryParse(text) : undefined));
        answer.on('error', () => resolve(undefined));
      },
    );
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(undefined));
  });
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
