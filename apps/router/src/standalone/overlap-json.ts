import type { RankOverlaps } from '@dynamo-ts/kv';

/** Cached tokens of one engine; a tier counts what the faster ones hold too. */
export interface OverlapJson {
  longest_matched: number;
  gpu: number;
  dp: Record<string, number>;
  cpu: number;
  disk: number;
}

/** How much of a prompt each engine holds, in tokens, as Mooncake's indexer API writes it. */
export interface MatchesJson {
  readonly scores: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Never counted here; upstream fills it with one thread only. */
  readonly frequencies: readonly number[];
  readonly instances: Readonly<Record<string, OverlapJson>>;
}

/** Overlaps of all engines. */
export function matchesJson(overlaps: RankOverlaps, blockSize: number): MatchesJson {
  const scores: Record<string, Record<string, number>> = {};
  const instances: Record<string, OverlapJson> = {};
  for (const [at, workerId] of overlaps.workerIds.entries()) {
    const id = workerId.toString();
    const rank = String(overlaps.dpRanks[at] ?? 0);
    const { gpu, cpu, disk } = tiersOf(overlaps, at, blockSize);
    const instance = (instances[id] ??= noOverlap());
    if (gpu > 0) (scores[id] ??= {})[rank] = gpu;
    instance.dp[rank] = gpu;
    instance.gpu = Math.max(instance.gpu, gpu);
    instance.cpu = Math.max(instance.cpu, cpu);
    instance.disk = Math.max(instance.disk, disk);
    instance.longest_matched = Math.max(instance.longest_matched, disk);
  }
  return { scores, frequencies: [], instances };
}

/** Overlap of one engine; all zero when it holds nothing. */
export function overlapJson(
  overlaps: RankOverlaps,
  workerId: bigint,
  blockSize: number,
): OverlapJson {
  return matchesJson(overlaps, blockSize).instances[workerId.toString()] ?? noOverlap();
}

/** Tokens of one rank by tier, each with what the faster tiers hold. */
function tiersOf(
  { blocks }: RankOverlaps,
  at: number,
  blockSize: number,
): { readonly gpu: number; readonly cpu: number; readonly disk: number } {
  const gpu = (blocks[3 * at] ?? 0) * blockSize;
  const cpu = gpu + (blocks[3 * at + 1] ?? 0) * blockSize;
  return { gpu, cpu, disk: cpu + (blocks[3 * at + 2] ?? 0) * blockSize };
}

function noOverlap(): OverlapJson {
  return { longest_matched: 0, gpu: 0, dp: {}, cpu: 0, disk: 0 };
}
