/** What vLLM tells about its KV cache besides the OpenAI API; other servers tell nothing there, which is no error. */
import type { AbortOptions } from '@dynamo-ts/base';

import type { EngineHttp } from '../../http/engine-http.ts';

/** The shape of the cache; fields are undefined when the server does not say. */
export interface VllmCacheConfig {
  /** Tokens per block. */
  readonly blockSize: number | undefined;
  /** Blocks per data-parallel rank. */
  readonly totalKvBlocks: number | undefined;
  /** Whether equal prefixes are computed once. */
  readonly isPrefixCached: boolean | undefined;
}

/** Reads the labels of the metric `vllm:cache_config_info`. */
export async function readCacheConfig(
  http: EngineHttp,
  options: AbortOptions,
): Promise<VllmCacheConfig> {
  const page = await orUndefined(http.getText('/metrics', options), options);
  const labels = /^vllm:cache_config_info\{(.*)\}/m.exec(page ?? '')?.[1] ?? '';
  const isPrefixCached = label(labels, 'enable_prefix_caching');
  return {
    blockSize: countLabel(labels, 'block_size'),
    totalKvBlocks: countLabel(labels, 'num_gpu_blocks'),
    isPrefixCached: isPrefixCached === undefined ? undefined : isPrefixCached === 'True',
  };
}

/** The JSON of `GET /kv_event_sources`: event settings by rank; undefined from servers without it. */
export async function readKvEventSources(
  http: EngineHttp,
  options: AbortOptions,
): Promise<unknown> {
  return orUndefined(http.getJson('/kv_event_sources', options), options);
}

async function orUndefined<T>(
  answer: Promise<T>,
  { signal }: AbortOptions,
): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (signal?.aborted === true) throw error;
    return undefined;
  }
}

function label(labels: string, name: string): string | undefined {
  return new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1];
}

function countLabel(labels: string, name: string): number | undefined {
  const value = label(labels, name);
  return value !== undefined && /^\d+$/.test(value) ? Number(value) : undefined;
}
