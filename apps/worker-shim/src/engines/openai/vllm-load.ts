import type { ObservedLoad } from '../load-tracker.ts';

/**
 * Reads the load of every rank from vLLM's metrics page: `vllm:num_requests_waiting` and `vllm:kv_cache_usage_perc`, whose
 * label `engine` is the rank.
 *
 * @returns undefined when the page has no such metrics
 */
export function parseVllmLoad(
  page: string,
  totalKvBlocks: number,
): readonly ObservedLoad[] | undefined {
  const waiting = valuesByRank(page, 'num_requests_waiting');
  const loads = [...valuesByRank(page, 'kv_cache_usage_perc')].map(([dpRank, usage]) => ({
    dpRank,
    waitingRequests: waiting.get(dpRank) ?? 0,
    usedBlocks: Math.round(usage * totalKvBlocks),
  }));
  return loads.length === 0 ? undefined : loads;
}

/** Requests that vLLM runs or keeps waiting, over all ranks; undefined when the page does not say. */
export function parseVllmRequests(page: string): number | undefined {
  const running = [...valuesByRank(page, 'num_requests_running').values()];
  if (running.length === 0) return undefined;
  const waiting = [...valuesByRank(page, 'num_requests_waiting').values()];
  return [...running, ...waiting].reduce((sum, value) => sum + value, 0);
}

function valuesByRank(page: string, name: string): ReadonlyMap<number, number> {
  const values = new Map<number, number>();
  for (const [, labels = '', value = ''] of page.matchAll(
    new RegExp(`^vllm:${name}\\{([^\\n]*)\\} (\\S+)$`, 'gm'),
  )) {
    const rank = Number(/(?:^|,)engine="(\d+)"/.exec(labels)?.[1] ?? 0);
    const number = Number(value);
    if (Number.isFinite(number)) values.set(rank, number);
  }
  return values;
}
