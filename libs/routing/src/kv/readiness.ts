import { raceAbort } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';

/** Lets callers wait until something holds that changes by itself. */
export class Readiness {
  readonly #isReady: () => boolean;
  #changed: PromiseWithResolvers<undefined> | undefined;

  constructor(isReady: () => boolean) {
    this.#isReady = isReady;
  }

  /** Resolves when it holds. @throws the signal's reason when aborted */
  async wait({ signal }: AbortOptions = {}): Promise<void> {
    while (!this.#isReady()) {
      this.#changed ??= Promise.withResolvers<undefined>();
      await raceAbort(this.#changed.promise, signal);
    }
  }

  /** It may hold now. Costs nothing while nobody waits. */
  changed(): void {
    this.#changed?.resolve(undefined);
    this.#changed = undefined;
  }
}
