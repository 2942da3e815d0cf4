/**
 * Which instances of an endpoint this process may choose now: `routable` = all − inhibited, `free` = routable −
 * overloaded (RF 1.9, 1.10).
 *
 * An inhibited instance returns when its connection is up again and not before the inhibition time has passed, which
 * doubles each time that the instance fails again soon after its return. The last instance is never shut out: when all are
 * inhibited, all are tried.
 */
import { AbortReasonError, asInstanceId, instanceIdHex, systemClock } from '@dynamo-ts/base';
import type { Clock, InstanceId } from '@dynamo-ts/base';
import type { EndpointInstance } from '@dynamo-ts/protocol';
import type { Logger } from '@dynamo-ts/telemetry';

import type { InstanceSet } from './instance-set.ts';

/** How long an instance that refused for lack of capacity is left alone when nothing else clears it. */
const OVERLOAD_MS = 1000;

/** Longest inhibition of an instance that fails again and again, unless the shortest one is longer. */
const MAX_INHIBITED_MS = 60_000;

/** An instance that was routable for this long without a fault has no history any more. */
const HEALTHY_AFTER_MS = 60_000;

/** What an {@link Availability} needs. */
export interface AvailabilityOptions {
  readonly instances: InstanceSet;
  /** Resolves when the instance can be reached. */
  readonly reachable: (instance: EndpointInstance, signal: AbortSignal) => Promise<void>;
  /** Shortest inhibition in milliseconds; 0 = never inhibit. */
  readonly inhibitedMs: number;
  readonly logger: Logger;
  readonly clock?: Clock | undefined;
}

/** Local view of which instances can take requests. */
export class Availability {
  readonly #options: AvailabilityOptions;
  readonly #clock: Clock;
  readonly #inhibited = new Map<InstanceId, AbortController>();
  readonly #overloadedUntil = new Map<InstanceId, number>();
  /** Of instances with faults: how many in a row, and when they are forgotten. */
  readonly #faults = new Map<InstanceId, { readonly count: number; readonly untilMs: number }>();
  readonly #off: () => void;
  #routable: readonly InstanceId[] | undefined;

  constructor(options: AvailabilityOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#off = options.instances.onChange(({ kind, instance }) => {
      if (kind === 'removed') {
        this.#restore(asInstanceId(instance.instanceId));
        this.#faults.delete(asInstanceId(instance.instanceId));
      }
      this.#routable = undefined;
    });
  }

  /** Whether an instance is left out while others can be had. */
  isInhibited(id: InstanceId): boolean {
    return this.#inhibited.has(id) && !this.routable().includes(id);
  }

  /** Instances that are not inhibited; all of them when every one is. */
  routable(): readonly InstanceId[] {
    this.#routable ??= this.#computeRoutable();
    return this.#routable;
  }

  /** Routable instances that are not overloaded. */
  free(): readonly InstanceId[] {
    const routable = this.routable();
    if (this.#overloadedUntil.size === 0) return routable;
    return routable.filter((id) => !this.#isOverloaded(id));
  }

  /** Keeps an instance out of selection until it can be reached again. */
  reportDown(id: InstanceId): void {
    const instance = this.#options.instances.get(id);
    if (this.#options.inhibitedMs <= 0 || instance === undefined || this.#inhibited.has(id)) return;
    const controller = new AbortController();
    this.#inhibited.set(id, controller);
    this.#routable = undefined;
    const durationMs = this.#nextDurationMs(id);
    this.#options.logger.warn('instance is inhibited', {
      instance_id: instanceIdHex(id),
      duration_ms: durationMs,
    });
    void this.#recover(instance, durationMs, controller.signal);
  }

  /** Leaves an instance alone until {@link reportFree} or for a second. */
  reportOverloaded(id: InstanceId): void {
    this.#overloadedUntil.set(id, this.#clock.monotonicMs() + OVERLOAD_MS);
  }

  /** The instance has capacity again. */
  reportFree(id: InstanceId): void {
    this.#overloadedUntil.delete(id);
  }

  /** Ends all waiting. Idempotent. */
  close(): void {
    this.#off();
    for (const id of [...this.#inhibited.keys()]) this.#restore(id);
  }

  #nextDurationMs(id: InstanceId): number {
    const { inhibitedMs } = this.#options;
    const nowMs = this.#clock.monotonicMs();
    const earlier = this.#faults.get(id);
    const count = earlier !== undefined && nowMs < earlier.untilMs ? earlier.count + 1 : 1;
    this.#faults.set(id, { count, untilMs: Infinity });
    return Math.min(inhibitedMs * 2 ** (count - 1), Math.max(MAX_INHIBITED_MS, inhibitedMs));
  }

  async #recover(
    instance: EndpointInstance,
    durationMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const id = asInstanceId(instance.instanceId);
    try {
      await Promise.all([
        this.#clock.sleep(durationMs, { signal }),
        this.#options.reachable(instance, signal),
      ]);
    } catch (error) {
      if (!signal.aborted)
        this.#options.logger.warn('probe of an inhibited instance failed', {
          instance_id: instanceIdHex(id),
          error,
        });
    }
    if (!signal.aborted) this.#restore(id);
  }

  #restore(id: InstanceId): void {
    const controller = this.#inhibited.get(id);
    if (controller === undefined) return;
    this.#inhibited.delete(id);
    this.#routable = undefined;
    const count = this.#faults.get(id)?.count ?? 0;
    this.#faults.set(id, { count, untilMs: this.#clock.monotonicMs() + HEALTHY_AFTER_MS });
    controller.abort(new AbortReasonError('superseded'));
    this.#options.logger.info('instance is routable again', { instance_id: instanceIdHex(id) });
  }

  #computeRoutable(): readonly InstanceId[] {
    const all = this.#options.instances.ids();
    const routable = all.filter((id) => !this.#inhibited.has(id));
    return routable.length > 0 ? routable : all;
  }

  #isOverloaded(id: InstanceId): boolean {
    const until = this.#overloadedUntil.get(id);
    if (until === undefined) return false;
    if (this.#clock.monotonicMs() < until) return true;
    this.#overloadedUntil.delete(id);
    return false;
  }
}
