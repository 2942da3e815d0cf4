import type { Placement } from './placement-router.ts';

/** A choice as clients are told of it, `nvext.worker_id`: who prefills and decodes. One worker does both. */
export function workerIds({ instanceId, dpRank }: Placement): Readonly<Record<string, unknown>> {
  const id = String(instanceId);
  const rank = dpRank ?? null;
  return {
    prefill_worker_id: id,
    prefill_dp_rank: rank,
    decode_worker_id: id,
    decode_dp_rank: rank,
  };
}
