/** Sleep and wake-up of an engine: it gives its memory back while its process stays (RF 1.12). */
import type { AbortOptions } from '@dynamo-ts/base';

/** What a sleeping engine has given up; vLLM's tags of a wake-up. */
export const SLEEPING_PARTS = ['weights', 'kv_cache'] as const;

/** Something that a sleeping engine has given up. */
export type SleepingPart = (typeof SLEEPING_PARTS)[number];

/** How an engine sleeps; engines that cannot have none. It is told only while it has no requests. */
export interface EngineSleep {
  /** Asked before anything is given up. @throws `runtime.not_implemented` when this engine was started without it */
  check(options: AbortOptions): Promise<void>;
  /** @param level 1 keeps the weights where they come back from soon, 2 drops them, 3 drops everything */
  sleep(level: number, options: AbortOptions): Promise<void>;
  /** Brings parts back; it can be used when all are. */
  wake(parts: readonly SleepingPart[], options: AbortOptions): Promise<void>;
}
