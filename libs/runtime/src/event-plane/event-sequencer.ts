import type { EventEnvelope } from '@dynamo-ts/protocol';

const RANDOM_BITS = 20n;

/**
 * Stamps the events of one process: its epoch, and a sequence without holes per subject and publisher. A sequence number
 * is spent also on an event that is then dropped, because that is how the loss shows.
 */
export class EventSequencer {
  /** Later processes have greater epochs; two that start in the same millisecond differ in the low bits. */
  readonly epoch: bigint =
    (BigInt(Date.now()) << RANDOM_BITS) |
    BigInt(Math.floor(Math.random() * 2 ** Number(RANDOM_BITS)));
  readonly #sequences = new Map<string, bigint>();

  /** The event with the next number. */
  stamp(subject: string, publisherId: bigint, payload: Uint8Array): EventEnvelope {
    const series = `${publisherId} ${subject}`;
    const sequence = (this.#sequences.get(series) ?? 0n) + 1n;
    this.#sequences.set(series, sequence);
    return {
      publisherId,
      epoch: this.epoch,
      sequence,
      timestampMs: Date.now(),
      subject,
      payload,
    };
  }
}
