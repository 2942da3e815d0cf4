/**
 * Keeps one engine running: starts it, waits for its death, starts it again with back-off. What the rest of the worker
 * does when the engine comes and goes is in two callbacks, which never overlap.
 */
import { Backoff, TaskGroup, abortError, hasCode, onAbort, systemClock } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type { Logger } from '@dynamo-ts/telemetry';

import type { Engine, EngineFacts, EngineHost } from '../engines/engine.ts';

/** Settings of an {@link EngineKeeper}. */
export interface EngineKeeperOptions {
  readonly engine: Engine;
  readonly host: Omit<EngineHost, 'crashed'>;
  /** The engine answers. */
  readonly onUp: (facts: EngineFacts) => Promise<void>;
  /** The engine has died; called before it is closed and started again. */
  readonly onDown: (error: Error) => Promise<void>;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** @default 500 ms doubling to 15 s */
  readonly backoff?: Backoff;
}

/** An engine that ran this long starts again without delay history. */
const STABLE_AFTER_MS = 60_000;

/** One engine and its restarts. */
export class EngineKeeper implements AsyncDisposable {
  readonly #options: EngineKeeperOptions;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #tasks: TaskGroup;
  #hasBeenUp = false;
  #life: Life | undefined;

  constructor(options: EngineKeeperOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#backoff = options.backoff ?? new Backoff({ initialMs: 500, maxMs: 15_000 });
    this.#tasks = new TaskGroup({
      name: 'engine keeper',
      onError: (error) => {
        options.logger.error('the engine is given up', { error });
      },
    });
  }

  /**
   * Starts the engine; resolves when it is up for the first time. Failures are tried again,
   * except those of a first start that trying again cannot change.
   *
   * @throws `config.invalid`, `model.invalid`; `runtime.closed` when closed meanwhile
   */
  async start(): Promise<void> {
    const first = Promise.withResolvers<undefined>();
    this.#tasks.start('keep', async (signal) => {
      try {
        await this.#keep(signal, () => {
          first.resolve(undefined);
        });
      } catch (error) {
        first.reject(error);
        throw error;
      }
    });
    await first.promise;
  }

  /** Treats the engine that runs now as dead, as if it had crashed; nothing when none runs. */
  giveUp(error: Error): void {
    this.#life?.died.resolve(error);
  }

  /** Stops the engine for good. Idempotent. */
  async close(): Promise<void> {
    await this.#tasks.close();
    await this.#options.engine.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #keep(signal: AbortSignal, onFirstUp: () => void): Promise<never> {
    const { engine, logger, onDown } = this.#options;
    for (;;) {
      const died = Promise.withResolvers<Error>();
      const error = await this.#run({ signal, died, onFirstUp });
      signal.throwIfAborted();
      if (!this.#hasBeenUp && isHopeless(error)) throw error;
      await onDown(error);
      await engine.close();
      const delayMs = Math.round(this.#backoff.nextMs());
      logger.warn('the engine is down and will be started again', { error, delay_ms: delayMs });
      await this.#clock.sleep(delayMs, { signal });
    }
  }

  /** One life of the engine. @returns why it ended */
  async #run(life: Life): Promise<Error> {
    const { engine, host, logger, onUp } = this.#options;
    const startedMs = this.#clock.monotonicMs();
    const crashed = (error: Error): void => {
      life.died.resolve(error);
    };
    const off = onAbort(life.signal, () => {
      crashed(abortError(life.signal));
    });
    try {
      const facts = await engine.start({ host: { ...host, crashed }, signal: life.signal });
      await onUp(facts);
      const start_ms = Math.round(this.#clock.monotonicMs() - startedMs);
      logger.info('the engine is up', { engine: engine.kind, start_ms });
      this.#hasBeenUp = true;
      this.#life = life;
      life.onFirstUp();
      const error = await life.died.promise;
      if (this.#clock.monotonicMs() - startedMs > STABLE_AFTER_MS) this.#backoff.reset();
      return error;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    } finally {
      this.#life = undefined;
      off();
    }
  }
}

interface Life {
  readonly signal: AbortSignal;
  readonly died: PromiseWithResolvers<Error>;
  readonly onFirstUp: () => void;
}

function isHopeless(error: Error): boolean {
  return hasCode(error, 'config.invalid', 'model.invalid');
}
