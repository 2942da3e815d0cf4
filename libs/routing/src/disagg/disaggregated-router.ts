/**
 * Decides whether a prompt is prefilled by the worker that decodes or by a prefill worker (RP 8.3): remotely when what the
 * cache does not hold is long and the prefill queue is short.
 *
 * Thresholds can be changed while it runs: {@link DisaggregatedRouter.connect} follows their keys in discovery.
 */
import { DynamoError, TaskGroup } from '@dynamo-ts/base';

import { readDisaggKey, watchedPrefixes } from './disagg-keys.ts';
import type { DisaggKeysOptions } from './disagg-keys.ts';
import type { DisaggThresholds } from './disagg-thresholds.ts';

/** Settings of a {@link DisaggregatedRouter}. */
export interface DisaggregatedRouterOptions extends Partial<DisaggThresholds> {
  /** Whether to decide at all; off prefills everything remotely. @default true */
  readonly conditionalDisagg?: boolean;
}

/** Settings of a router whose thresholds are followed. */
export interface ConnectDisaggregatedRouterOptions
  extends DisaggregatedRouterOptions, DisaggKeysOptions {}

const DEFAULTS: DisaggThresholds = { maxLocalPrefillLength: 1000, maxPrefillQueueSize: 2 };

/** Where a prompt is prefilled. */
export class DisaggregatedRouter implements AsyncDisposable {
  readonly conditionalDisagg: boolean;
  readonly #initial: DisaggThresholds;
  /** What each key says. */
  readonly #followed = new Map<string, Partial<DisaggThresholds>>();
  #thresholds: DisaggThresholds;
  #tasks: TaskGroup | undefined;

  constructor(options: DisaggregatedRouterOptions = {}) {
    this.conditionalDisagg = options.conditionalDisagg ?? true;
    this.#initial = checked({
      maxLocalPrefillLength: options.maxLocalPrefillLength ?? DEFAULTS.maxLocalPrefillLength,
      maxPrefillQueueSize: options.maxPrefillQueueSize ?? DEFAULTS.maxPrefillQueueSize,
    });
    this.#thresholds = this.#initial;
  }

  /** A router that follows the thresholds in discovery; resolves when it knows those that are there. */
  static async connect(options: ConnectDisaggregatedRouterOptions): Promise<DisaggregatedRouter> {
    const router = new DisaggregatedRouter(options);
    const tasks = new TaskGroup({
      name: 'disaggregation thresholds',
      onError: (error, task) => options.logger.error('watch failed', { task, error }),
    });
    router.#tasks = tasks;
    const prefixes = watchedPrefixes(options);
    await Promise.all(
      prefixes.map(
        (prefix) =>
          new Promise<void>((ready) => {
            tasks.start(`watch ${prefix}`, (signal) =>
              router.#follow(prefix, { ...options, ready }, signal),
            );
          }),
      ),
    );
    return router;
  }

  /** Longest uncached rest that the decode worker prefills itself, as of now. */
  get maxLocalPrefillLength(): number {
    return this.#thresholds.maxLocalPrefillLength;
  }

  /** Length at which the prefill queue takes no more, as of now. */
  get maxPrefillQueueSize(): number {
    return this.#thresholds.maxPrefillQueueSize;
  }

  /**
   * Whether a prefill worker takes the prompt.
   *
   * `prefixHitRate` is the cached share of the prompt, 0 to 1; `queueSize` the prompts that wait for prefill workers.
   *
   * @throws `request.invalid` for a negative length or a rate that is none
   */
  prefillRemote(promptLength: number, prefixHitRate: number, queueSize = 0): boolean {
    if (!(prefixHitRate >= 0 && prefixHitRate <= 1)) {
      throw new DynamoError(
        'request.invalid',
        `the prefix hit rate ${prefixHitRate} is not between 0 and 1`,
      );
    }
    return this.#decide(promptLength, Math.trunc(promptLength * (1 - prefixHitRate)), queueSize);
  }

  /** As {@link prefillRemote}, by the number of cached tokens. @throws `request.invalid` */
  prefillRemoteByLength(prefillLength: number, prefixHitLength: number, queueSize = 0): boolean {
    if (!(prefixHitLength >= 0 && prefixHitLength <= prefillLength)) {
      throw new DynamoError(
        'request.invalid',
        `${prefixHitLength} cached tokens do not fit in a prompt of ${prefillLength}`,
      );
    }
    return this.#decide(prefillLength, prefillLength - prefixHitLength, queueSize);
  }

  /** Stops to follow; the last thresholds stay. Idempotent. */
  async close(): Promise<void> {
    await this.#tasks?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #decide(promptLength: number, uncached: number, queueSize: number): boolean {
    if (!(promptLength >= 0)) {
      throw new DynamoError('request.invalid', `${promptLength} is not the length of a prompt`);
    }
    if (!this.conditionalDisagg) return true;
    const { maxLocalPrefillLength, maxPrefillQueueSize } = this.#thresholds;
    return uncached > maxLocalPrefillLength && queueSize < maxPrefillQueueSize;
  }

  /** Keys of a namespace begin with a slash, so they sort before the model's, which wins. */
  #merged(): DisaggThresholds {
    const sorted = [...this.#followed].sort(([a], [b]) => (a < b ? -1 : 1));
    return sorted.reduce((all, [, thresholds]) => ({ ...all, ...thresholds }), this.#initial);
  }

  async #follow(
    prefix: string,
    options: DisaggKeysOptions & { readonly ready: () => void },
    signal: AbortSignal,
  ): Promise<void> {
    for await (const event of options.discovery.watch(prefix, { signal })) {
      if (event.kind === 'ready') {
        options.ready();
        continue;
      }
      const value = event.kind === 'put' ? event.value : undefined;
      const thresholds = readDisaggKey(event.key, value, options);
      if (thresholds === undefined) continue;
      this.#followed.set(event.key, thresholds);
      this.#thresholds = this.#merged();
      options.logger.info('disaggregation thresholds changed', { ...this.#thresholds });
    }
  }
}

function checked(thresholds: DisaggThresholds): DisaggThresholds {
  for (const [name, value] of Object.entries(thresholds)) {
    if (!Number.isInteger(value) || value < 0) {
      throw new DynamoError(
        'config.invalid',
        `${name} must be a whole number from 0, not ${value}`,
      );
    }
  }
  return thresholds;
}
