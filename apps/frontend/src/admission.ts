/** Lets requests in until the service stops, and tells when the last of them has ended (RF 1.12). */
import { DynamoError } from '@dynamo-ts/base';

/** A request's place; give it back when it has ended. */
export interface Admitted extends Disposable {
  /** Idempotent. */
  release(): void;
}

/** Counts admitted requests and refuses new ones after {@link Admission.refuse}. */
export class Admission {
  /** How to end each admitted request. */
  readonly #active = new Map<Admitted, () => void>();
  readonly #idle: (() => void)[] = [];
  #refusing = false;

  /** Requests that have not ended. */
  get active(): number {
    return this.#active.size;
  }

  /** Whether new requests are refused. */
  get refusing(): boolean {
    return this.#refusing;
  }

  /**
   * Takes a place.
   *
   * @param kill ends the request when the service can wait no longer
   * @throws `runtime.closed` when the service is stopping
   */
  admit(kill: () => void): Admitted {
    if (this.#refusing) throw new DynamoError('runtime.closed', 'the frontend is shutting down');
    const release = (): void => {
      this.#active.delete(admitted);
      if (this.#active.size > 0) return;
      for (const resolve of this.#idle.splice(0)) resolve();
    };
    const admitted: Admitted = { release, [Symbol.dispose]: release };
    this.#active.set(admitted, kill);
    return admitted;
  }

  /** Refuses new requests from now on. */
  refuse(): void {
    this.#refusing = true;
  }

  /** Ends all requests that still run. */
  killAll(): void {
    for (const kill of this.#active.values()) kill();
  }

  /** Resolves when no request runs. */
  async idle(): Promise<void> {
    if (this.#active.size === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }
}
