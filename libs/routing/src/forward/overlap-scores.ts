import type { WorkerOverlap } from '@dynamo-ts/protocol';

import type { Plain } from './preprocessed-request.ts';

/** Blocks of a prompt that each rank holds, in the shape of the reference's `get_overlap_scores`. */
export function overlapScores(
  overlaps: readonly WorkerOverlap[],
  blockSize: number,
  tokens: number,
): Plain {
  return {
    block_size: blockSize,
    num_blocks: Math.floor(tokens / blockSize),
    workers: overlaps.map(({ workerId, dpRank, deviceBlocks, hostBlocks, diskBlocks }) => ({
      worker_id: workerId,
      dp_rank: dpRank,
      device_blocks: deviceBlocks,
      host_pinned_blocks: deviceBlocks + hostBlocks,
      disk_blocks: deviceBlocks + hostBlocks + diskBlocks,
      host_pinned_extension_blocks: hostBlocks,
      disk_extension_blocks: diskBlocks,
      shared_beyond_device_blocks: null,
    })),
    shared_cache: { enabled: false, total_hit_blocks: 0, ranges: [], error: null },
  };
}
