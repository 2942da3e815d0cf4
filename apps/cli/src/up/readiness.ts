/** Asks the endpoint itself whether a client would be answered: healthy, and at least one model is served. */
import { get } from 'node:http';

import { systemClock } from '@dynamo-ts/base';

const POLL_MS = 25;
const REQUEST_TIMEOUT_MS = 2000;
const FIRST_NOTE_MS = 3000;
const NOTE_INTERVAL_MS = 5000;
const PARTIAL_AFTER_MS = 15_000;

/** Settings of {@link waitUntilServable}. */
export interface ReadinessOptions {
  readonly port: number;
  readonly healthPath: string;
  readonly modelsPath: string;
  /** Workers that were started. */
  readonly workers: number;
  readonly signal: AbortSignal;
  /** Told every few seconds while a start is slow. */
  readonly onSlow: (progress: Progress & { readonly waitedMs: number }) => void;
}

/** What is served by now. */
export interface Progress {
  /** Names of the models that a client sees. */
  readonly models: readonly string[];
  /** Workers that have registered. */
  readonly workers: number;
}

/**
 * Waits until a model is served by all workers, or by some of them for a while: an engine that loads for minutes, or never
 * comes, must not keep the others from being used.
 */
export async function waitUntilServable(options: ReadinessOptions): Promise<Progress> {
  const startedMs = performance.now();
  let servableAtMs: number | undefined;
  let noteAtMs = FIRST_NOTE_MS;
  for (;;) {
    const progress = await currentProgress(options);
    const waitedMs = performance.now() - startedMs;
    if (progress.models.length > 0) {
      servableAtMs ??= waitedMs;
      const late = waitedMs - servableAtMs > PARTIAL_AFTER_MS;
      if (progress.workers >= options.workers || late) return progress;
    }
    if (waitedMs > noteAtMs) {
      noteAtMs += NOTE_INTERVAL_MS;
      options.onSlow({ ...progress, waitedMs });
    }
    await systemClock.sleep(POLL_MS, { signal: options.signal });
  }
}

async function currentProgress(options: ReadinessOptions): Promise<Progress> {
  const { port, healthPath, modelsPath } = options;
  const health = await getJson(port, healthPath);
  if (health === undefined) return { models: [], workers: 0 };
  const ids = listOf(await getJson(port, modelsPath), 'data').map((model) =>
    typeof model === 'object' && model !== null && 'id' in model ? String(model.id) : '',
  );
  return { models: ids, workers: listOf(health, 'instances').length };
}

/** A list in a JSON object; empty when there is none. */
function listOf(body: unknown, key: string): readonly unknown[] {
  if (typeof body !== 'object' || body === null) return [];
  const list: unknown = Reflect.get(body, key);
  return Array.isArray(list) ? list : [];
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
