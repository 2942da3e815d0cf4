/**
 * A mux message on NATS: a little-endian u32 sequence, dense per direction of a session from 0, then the message.
 *
 * NATS may lose messages when a connection breaks; a gap is how both ends notice, instead of losing tokens silently.
 * An empty message is a heartbeat.
 */

/** Sequence of a message that tells a client to start a new session: the server does not know this one. */
export const RESET_SEQUENCE = 0xffff_ffff;

const PREFIX_BYTES = 4;

/** Puts a sequence before a message. */
export function withSequence(sequence: number, message: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + message.byteLength);
  bytes.writeUInt32LE(sequence, 0);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}

/** Reads what {@link withSequence} wrote. @returns undefined when it is too short */
export function splitSequence(
  bytes: Uint8Array,
): { readonly sequence: number; readonly message: Uint8Array } | undefined {
  if (bytes.byteLength < PREFIX_BYTES) return undefined;
  const sequence = new DataView(bytes.buffer, bytes.byteOffset, PREFIX_BYTES).getUint32(0, true);
  return { sequence, message: bytes.subarray(PREFIX_BYTES) };
}
