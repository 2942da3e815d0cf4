import type { ResponseSink } from '@dynamo-ts/runtime';

/** The sink of a health probe: all that counts is whether anything comes. */
export class ProbeSink implements ResponseSink {
  readonly #answered = Promise.withResolvers<undefined>();

  constructor() {
    this.#answered.promise.catch(() => undefined); // a probe that nobody waits for any more may fail
  }

  /** Resolves with the first item or a clean end; rejects with the failure. */
  get answered(): Promise<undefined> {
    return this.#answered.promise;
  }

  write(): boolean {
    this.#answered.resolve(undefined);
    return true;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  end(): void {
    this.#answered.resolve(undefined);
  }

  fail(error: unknown): void {
    this.#answered.reject(error);
  }
}
