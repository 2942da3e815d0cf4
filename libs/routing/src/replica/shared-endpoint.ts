import { hashesToBytes } from '@dynamo-ts/protocol';
import type { ActiveSequenceBatch, ActiveSequenceEvent, SequenceAdded } from '@dynamo-ts/protocol';

import type { SharedBooking } from '../kv/collaborators.ts';

/** What routers must have in common to understand each other's bookings. */
export interface SharedEndpoint {
  /** Instance id of this router. */
  readonly routerId: bigint;
  /** `namespace.component.endpoint` that is routed for. */
  readonly endpoint: string;
  readonly blockSize: number;
  readonly stride: number;
}

/** Most hashes of one prompt that are sent: half a MiB, which every event plane carries. The rest counts as its own. */
const MOST_HASHES = 65_536;

/** A message of these events. */
export function batchOf(
  shared: SharedEndpoint,
  events: readonly ActiveSequenceEvent[],
): ActiveSequenceBatch {
  const { routerId, endpoint, blockSize, stride } = shared;
  return { routerId, endpoint, blockSize, stride, events: [...events] };
}

/** A booking as it is sent. */
export function sequenceAdded(booking: SharedBooking): SequenceAdded {
  const { instanceId, dpRank, blockHashes, islTokens, prefillTokens } = booking;
  return {
    workerId: instanceId,
    dpRank,
    blockHashesLe: hashesToBytes(blockHashes.subarray(0, MOST_HASHES)),
    islTokens,
    prefillTokens,
    expectedOutputTokens: booking.expectedOutputTokens,
  };
}
