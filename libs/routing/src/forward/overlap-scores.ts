import type { RankOverlaps } from '@dynamo-ts/kv';

import type { Plain } from './preprocessed-request.ts';

/** Blocks of a prompt that each rank holds, in the shape of the reference's `get_overlap_scores`. */
export function overlapScores(overlaps: RankOverlaps, blockSize: number, blocks: number): Plain {
  const { workerIds, dpRanks, blocks: held } = overlaps;
  return {
    block_size: blockSize,
    num_blocks: blocks,
    workers: Array.from(workerIds, (workerId, at) => {
      const device = held[3 * at] ?? 0;
      const host = held[3 * at + 1] ?? 0;
      const disk = held[3 * at + 2] ?? 0;
      return {
        worker_id: workerId,
        dp_rank: dpRanks[at] ?? 0,
        device_blocks: device,
        host_pinned_blocks: device + host,
        disk_blocks: device + host + disk,
        host_pinned_extension_blocks: host,
        disk_extension_blocks: disk,
        shared_beyond_device_blocks: null,
      };
    }),
    shared_cache: { enabled: false, total_hit_blocks: 0, ranges: [], error: null },
  };
}
