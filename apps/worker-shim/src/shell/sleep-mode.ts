/**
 * Lets the engine of a worker sleep and wakes it up, while the worker's process stays (RF 1.12): its instance leaves
 * discovery first and its requests finish, then the engine gives up its cache and its weights; it is known again only
 * when it has given a token.
 *
 * What is asked meanwhile waits for its turn. An engine that dies in its sleep sleeps again after its restart.
 */
import { DynamoError, toDynamoError } from '@dynamo-ts/base';
import type { BoundGauge, Logger } from '@dynamo-ts/telemetry';

import type { Engine } from '../engines/engine.ts';
import { SLEEPING_PARTS } from '../engines/engine-sleep.ts';
import type { EngineSleep, SleepingPart } from '../engines/engine-sleep.ts';

/** What the worker does around its engine's sleep. */
export interface SleepHost {
  /** Whether there is something to leave. @throws `backend.engine_shutdown` when the engine is not running */
  check(): void;
  /** Leaves discovery and lets requests finish. */
  leave(signal: AbortSignal): Promise<void>;
  /** The engine sleeps and holds no cache. */
  asleep(): void;
  /** Comes back into discovery when the engine answers. @throws what the engine fails with */
  comeBack(): Promise<void>;
}

/** Settings of a {@link SleepMode}. */
export interface SleepModeOptions {
  readonly engine: Pick<Engine, 'kind' | 'sleepMode'>;
  readonly host: SleepHost;
  /** 1 while the engine sleeps. */
  readonly gauge: BoundGauge;
  readonly logger: Logger;
}

type State =
  | { readonly kind: 'awake' }
  | { readonly kind: 'asleep'; readonly level: number; readonly parts: ReadonlySet<SleepingPart> }
  /** Falling asleep or waking up went wrong; nobody knows what the engine holds. */
  | { readonly kind: 'unclear' };

/** Sleep of one worker. */
export class SleepMode implements AsyncDisposable {
  readonly #options: SleepModeOptions;
  readonly #closing = new AbortController();
  #state: State = { kind: 'awake' };
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: SleepModeOptions) {
    this.#options = options;
    options.gauge.set(0);
  }

  /** The level at which the engine sleeps; undefined while it is awake. */
  get level(): number | undefined {
    return this.#state.kind === 'asleep' ? this.#state.level : undefined;
  }

  /**
   * Puts the engine to sleep. Idempotent.
   *
   * @returns what has happened
   * @throws `runtime.not_implemented` for engines that cannot; `request.conflict` when it must be woken up first; what it
   * fails with, after which it must be woken up
   */
  sleep(level: number): Promise<string> {
    return this.#inTurn(async (signal) => {
      if (this.#state.kind === 'asleep') return 'Engine already sleeping';
      if (this.#state.kind === 'unclear')
        throw new DynamoError('request.conflict', 'wake_up required before retrying sleep');
      const engine = this.#engine();
      await engine.check({ signal });
      this.#options.host.check();
      // A worker that has left, or half of it, comes back by being woken up, whatever goes wrong from here on.
      this.#enter({ kind: 'unclear' });
      await this.#options.host.leave(signal);
      await this.#fallAsleep(engine, level, signal);
      return `Engine slept (level=${level})`;
    });
  }

  /**
   * Wakes the engine up, or parts of it: it comes back when nothing of it sleeps. Idempotent.
   *
   * @returns what has happened
   * @throws what the engine fails with; it can be tried again
   */
  wake(parts: readonly SleepingPart[] = SLEEPING_PARTS): Promise<string> {
    return this.#inTurn(async (signal) => {
      const state = this.#state;
      if (state.kind === 'awake') return 'Engine already awake';
      const asleep = state.kind === 'asleep' ? state.parts : new Set(SLEEPING_PARTS);
      const left = new Set(
        SLEEPING_PARTS.filter((part) => asleep.has(part) && !parts.includes(part)),
      );
      this.#enter({ kind: 'unclear' });
      await this.#engine().wake(parts, { signal });
      if (left.size > 0) {
        const level = state.kind === 'asleep' ? state.level : 1;
        this.#enter({ kind: 'asleep', level, parts: left });
        return `Engine woke (tags=${parts.join(',')}); asleep: ${[...left].join(',')}`;
      }
      await this.#options.host.comeBack();
      this.#enter({ kind: 'awake' });
      this.#options.logger.info('the engine is awake');
      return 'Engine woke';
    });
  }

  /** The engine has been started again. @returns whether it sleeps again */
  restarted(): Promise<boolean> {
    return this.#inTurn(async (signal) => {
      if (this.#state.kind !== 'asleep') {
        this.#enter({ kind: 'awake' });
        return false;
      }
      await this.#fallAsleep(this.#engine(), this.#state.level, signal);
      return true;
    });
  }

  /** Gives up what is under way. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new DynamoError('runtime.closed', 'the worker is stopping'));
    await this.#turn;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #fallAsleep(engine: EngineSleep, level: number, signal: AbortSignal): Promise<void> {
    await engine.sleep(level, { signal });
    this.#enter({ kind: 'asleep', level, parts: new Set(SLEEPING_PARTS) });
    this.#options.host.asleep();
    this.#options.logger.info('the engine sleeps', { sleep_level: level });
  }

  #engine(): EngineSleep {
    const { kind, sleepMode } = this.#options.engine;
    if (sleepMode !== undefined) return sleepMode;
    throw new DynamoError(
      'runtime.not_implemented',
      `${kind} cannot sleep: its memory is free when its worker is stopped`,
    );
  }

  #enter(state: State): void {
    this.#state = state;
    this.#options.gauge.set(state.kind === 'asleep' ? 1 : 0);
  }

  /** One after the other. */
  #inTurn<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal } = this.#closing;
    const run = this.#turn.then(async () => {
      signal.throwIfAborted();
      return work(signal);
    });
    this.#turn = run.catch((error: unknown) => {
      const { message } = toDynamoError(error);
      if (!signal.aborted)
        this.#options.logger.warn('sleep or wake-up failed', { problem: message });
    });
    return run;
  }
}
