/**
 * Notices an engine that runs requests and gives none of them a token: it hangs without having died. A request that has
 * begun must see the engine give somebody a token soon; one that has not may be in a long prefill, and is given longer.
 * The same times hold for each request of an engine that serves the others. Requests whose callers do not read count for
 * nothing.
 */
import { TaskGroup, systemClock } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type { Logger } from '@dynamo-ts/telemetry';

import type { GenerateHandler } from '../generate-handler.ts';
import { StuckRequests } from './stuck-requests.ts';
import type { StuckRequest } from './stuck-requests.ts';

/** Settings of an {@link EngineWatchdog}. */
export interface EngineWatchdogOptions {
  readonly handler: Pick<GenerateHandler, 'owed' | 'writes'>;
  /** Longest time without any token while answers have begun; 0 = no limit. */
  readonly stallMs: number;
  /** Longest time without any token while no answer has; 0 = no limit. */
  readonly firstTokenMs: number;
  /** The engine hangs. Called again only after it has given a token, or as much time again has passed. */
  readonly onStall: (stall: EngineStall) => void;
  /** The engine serves others and has forgotten this one. */
  readonly onStuck: (stuck: StuckRequest) => void;
  readonly logger: Logger;
  readonly clock?: Clock | undefined;
}

/** How an engine hangs. */
export interface EngineStall {
  readonly silentMs: number;
  /** Requests that wait for a token. */
  readonly requests: number;
}

/** Looks so often within the shorter limit. */
const LOOKS = 5;

/** Watches one worker's requests. */
export class EngineWatchdog implements AsyncDisposable {
  readonly #options: EngineWatchdogOptions;
  readonly #clock: Clock;
  readonly #tasks: TaskGroup;

  constructor(options: EngineWatchdogOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#tasks = new TaskGroup({
      name: 'engine watchdog',
      onError: (error) => {
        options.logger.error('the watchdog has stopped', { error });
      },
    });
  }

  /** Begins to look, unless both limits are off. */
  start(): void {
    const limits = [this.#options.stallMs, this.#options.firstTokenMs].filter((ms) => ms > 0);
    if (limits.length === 0) return;
    const everyMs = Math.min(...limits) / LOOKS;
    this.#tasks.start('watch', (signal) => this.#watch(everyMs, signal));
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#tasks.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #watch(everyMs: number, signal: AbortSignal): Promise<never> {
    const { firstTokenMs, handler, onStall, onStuck, stallMs } = this.#options;
    const requests = new StuckRequests({ stallMs, firstTokenMs });
    let writes = handler.writes;
    let begunSinceMs = this.#clock.monotonicMs();
    let freshSinceMs = begunSinceMs;
    for (;;) {
      await this.#clock.sleep(everyMs, { signal });
      const nowMs = this.#clock.monotonicMs();
      const owed = handler.owed();
      const begun = owed.filter((request) => request.begun).length;
      const fresh = owed.length - begun;
      const moved = handler.writes !== writes;
      writes = handler.writes;
      if (moved || begun === 0) begunSinceMs = nowMs;
      if (moved || fresh === 0) freshSinceMs = nowMs;
      const silentMs = longest(nowMs - begunSinceMs, stallMs, nowMs - freshSinceMs, firstTokenMs);
      const stuck = requests.look(owed, nowMs);
      if (silentMs === undefined) {
        for (const each of stuck) onStuck(each);
        continue;
      }
      onStall({ silentMs, requests: begun + fresh });
      begunSinceMs = nowMs;
      freshSinceMs = nowMs;
    }
  }
}

/** The first silence that is beyond its limit. */
function longest(
  begunMs: number,
  stallMs: number,
  freshMs: number,
  firstTokenMs: number,
): number | undefined {
  if (stallMs > 0 && begunMs >= stallMs) return begunMs;
  return firstTokenMs > 0 && freshMs >= firstTokenMs ? freshMs : undefined;
}
