/**
 * The ZeroMQ messages of vLLM's and SGLang's event publishers (RP 2.3): `topic, sequence, payload` on the live socket;
 * on the replay socket the same behind an empty frame, older engines without the topic, and an end mark of all ones.
 */

/** One batch of events as the engine sent it. */
export interface EventFrame {
  /** Number of the batch in its publisher's stream. */
  readonly sequence: bigint;
  /** MessagePack bytes, not looked into. */
  readonly payload: Uint8Array;
}

/** What is wrong with a message. */
export type FrameProblem = 'frame-count' | 'sequence-size' | 'no-delimiter';

/** A message, understood. */
export type ParsedFrame =
  | ({ readonly kind: 'frame' } & EventFrame)
  | { readonly kind: 'end' }
  | { readonly kind: 'malformed'; readonly problem: FrameProblem };

const SEQUENCE_BYTES = 8;
const END_SEQUENCE = 0xffff_ffff_ffff_ffffn;

/** Reads a message of the live socket. */
export function parseLiveFrame(parts: readonly Buffer[]): ParsedFrame {
  const [, sequence, payload] = parts;
  if (parts.length !== 3 || sequence === undefined || payload === undefined) {
    return malformed('frame-count');
  }
  return numbered(sequence, payload);
}

/** Reads a message of the replay socket. */
export function parseReplayFrame(parts: readonly Buffer[]): ParsedFrame {
  if (parts[0]?.length !== 0) return malformed('no-delimiter');
  const [sequence, payload] = parts.length === 4 ? parts.slice(2) : parts.slice(1);
  if (parts.length < 3 || parts.length > 4 || sequence === undefined || payload === undefined) {
    return malformed('frame-count');
  }
  const frame = numbered(sequence, payload);
  return frame.kind === 'frame' && frame.sequence === END_SEQUENCE ? { kind: 'end' } : frame;
}

/** The message that asks for a replay. */
export function replayRequest(from: bigint): readonly [Buffer, Buffer] {
  const sequence = Buffer.alloc(SEQUENCE_BYTES);
  sequence.writeBigUInt64BE(from);
  return [Buffer.alloc(0), sequence];
}

function numbered(sequence: Buffer, payload: Buffer): ParsedFrame {
  if (sequence.length !== SEQUENCE_BYTES) return malformed('sequence-size');
  return { kind: 'frame', sequence: sequence.readBigUInt64BE(), payload };
}

function malformed(problem: FrameProblem): ParsedFrame {
  return { kind: 'malformed', problem };
}
