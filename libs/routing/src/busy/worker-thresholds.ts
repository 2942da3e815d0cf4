import type { InstanceId } from '@dynamo-ts/base';

import { hasThreshold, lowestOf } from './busy-thresholds.ts';
import type { BusyThreshold, BusyThresholds } from './busy-thresholds.ts';

/**
 * Busy thresholds by worker. A worker that serves several models computes and remembers for all of them: the lowest
 * threshold of each kind applies.
 */
export class WorkerThresholds {
  readonly #thresholds: BusyThresholds;
  readonly #modelsOf: (instanceId: InstanceId) => readonly string[];
  #ofModels = new WeakMap<readonly string[], BusyThreshold>();
  #lowest: BusyThreshold = {};
  #seenVersion = -1;

  constructor(thresholds: BusyThresholds, modelsOf: (instanceId: InstanceId) => readonly string[]) {
    this.#thresholds = thresholds;
    this.#modelsOf = modelsOf;
  }

  /** Grows with every change. */
  get version(): number {
    return this.#thresholds.version;
  }

  /** The lowest of all models: a rank below it is not busy. */
  get lowest(): BusyThreshold {
    this.#update();
    return this.#lowest;
  }

  /** Whether any model has a threshold. */
  get areSet(): boolean {
    return hasThreshold(this.lowest);
  }

  /** What applies to a worker; the defaults when it is not known which models it serves. */
  of(instanceId: InstanceId): BusyThreshold {
    this.#update();
    const models = this.#modelsOf(instanceId);
    let threshold = this.#ofModels.get(models);
    if (threshold === undefined) {
      const names = models.length === 0 ? [''] : models;
      threshold = lowestOf(names.map((model) => this.#thresholds.get(model)));
      this.#ofModels.set(models, threshold);
    }
    return threshold;
  }

  #update(): void {
    const { version } = this.#thresholds;
    if (version === this.#seenVersion) return;
    this.#seenVersion = version;
    this.#lowest = this.#thresholds.lowest;
    this.#ofModels = new WeakMap();
  }
}
