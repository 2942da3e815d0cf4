/**
 * The one shutdown order, the same in every service:
 * not ready → deregister → grace while still accepting → drain with one deadline → abort the rest → close transports →
 * flush telemetry. A step that fails is reported and the next one runs.
 */
import { deadlineSignal } from './abort.ts';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';

/** Phases of a shutdown, in the order in which they run. */
export const SHUTDOWN_PHASES = [
  'not-ready',
  'deregister',
  'grace',
  'drain',
  'abort',
  'transports',
  'telemetry',
] as const;

/** One phase of a shutdown. */
export type ShutdownPhase = (typeof SHUTDOWN_PHASES)[number];

/** A step of a shutdown. The signal is the drain deadline; only `drain` steps need to honour it. */
export type ShutdownStep = (signal: AbortSignal) => Promise<void> | void;

/** Settings of a {@link Lifecycle}. */
export interface LifecycleOptions {
  /** How long to go on accepting after deregistration, because routers lag discovery. @default 0 */
  readonly gracePeriodMs?: number;
  /** One deadline for all `drain` steps. @default 30000 */
  readonly drainTimeoutMs?: number;
  readonly clock?: Clock;
  /** Told about a step that threw. */
  readonly onError: (error: unknown, phase: ShutdownPhase, step: string) => void;
}

interface Entry {
  readonly name: string;
  readonly step: ShutdownStep;
}

/** Collects shutdown steps while a service starts and runs them once, in phase order. */
export class Lifecycle implements AsyncDisposable {
  readonly #steps = new Map<ShutdownPhase, Entry[]>();
  readonly #gracePeriodMs: number;
  readonly #drainTimeoutMs: number;
  readonly #clock: Clock;
  readonly #onError: LifecycleOptions['onError'];
  #closing: Promise<void> | undefined;

  constructor(options: LifecycleOptions) {
    this.#gracePeriodMs = options.gracePeriodMs ?? 0;
    this.#drainTimeoutMs = options.drainTimeoutMs ?? 30_000;
    this.#clock = options.clock ?? systemClock;
    this.#onError = options.onError;
  }

  /** Whether shutdown has begun. */
  get closing(): boolean {
    return this.#closing !== undefined;
  }

  /** Adds a step. Steps of one phase run in reverse order of addition, as resources are released. */
  onShutdown(phase: ShutdownPhase, name: string, step: ShutdownStep): void {
    const entries = this.#steps.get(phase) ?? [];
    entries.unshift({ name, step });
    this.#steps.set(phase, entries);
  }

  /** Runs all phases once; later calls wait for the same run. */
  async close(): Promise<void> {
    this.#closing ??= this.#run();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    let deadline = new AbortController().signal;
    for (const phase of SHUTDOWN_PHASES) {
      if (phase === 'grace' && this.#gracePeriodMs > 0)
        await this.#clock.sleep(this.#gracePeriodMs);
      if (phase === 'drain') deadline = deadlineSignal(this.#drainTimeoutMs);
      for (const entry of this.#steps.get(phase) ?? []) await this.#runStep(phase, entry, deadline);
    }
  }

  async #runStep(phase: ShutdownPhase, entry: Entry, signal: AbortSignal): Promise<void> {
    try {
      await entry.step(signal);
    } catch (error) {
      this.#onError(error, phase, entry.name);
    }
  }
}
