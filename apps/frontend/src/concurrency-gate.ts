/** Bounds how many requests of one model the frontend has at a time (RF 2.3). */
import { DynamoError } from '@dynamo-ts/base';
import type { Counter, MetricsRegistry } from '@dynamo-ts/telemetry';

import { FRONTEND_METRICS } from './metrics.ts';

const GATE = 'request_concurrency';

/** Settings of a {@link ConcurrencyGate}. */
export interface ConcurrencyGateOptions {
  /** Most requests per model; undefined: no limit. */
  readonly limit: number | undefined;
  readonly metrics: MetricsRegistry;
}

/** Counts the requests of every model that has any. */
export class ConcurrencyGate {
  readonly #limit: number;
  readonly #rejections: Counter<'gate' | 'model'>;
  readonly #active = new Map<string, number>();

  constructor({ limit, metrics }: ConcurrencyGateOptions) {
    this.#limit = limit ?? Infinity;
    this.#rejections = metrics.counter(FRONTEND_METRICS.admissionRejectionTotal);
    if (limit !== undefined)
      metrics.gauge(FRONTEND_METRICS.admissionGateLimit).bind({ gate: GATE }).set(limit);
  }

  /** Takes a place; dispose it once, when the request has ended. @throws `capacity.frontend_limit` when there is none */
  enter(model: string): Disposable {
    const active = this.#active.get(model) ?? 0;
    if (active >= this.#limit) {
      this.#rejections.inc({ gate: GATE, model });
      throw new DynamoError(
        'capacity.frontend_limit',
        `the frontend has ${active} requests of ${model}, and may have no more`,
      );
    }
    this.#active.set(model, active + 1);
    return {
      [Symbol.dispose]: () => {
        this.#leave(model);
      },
    };
  }

  #leave(model: string): void {
    const left = (this.#active.get(model) ?? 0) - 1;
    if (left > 0) this.#active.set(model, left);
    else this.#active.delete(model);
  }
}
