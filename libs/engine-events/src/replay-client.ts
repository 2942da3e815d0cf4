/** Asks an engine's replay socket for batches that were missed. Every question has a socket of its own. */
import { abortError, onAbort, systemClock, throwIfAborted } from '@dynamo-ts/base';
import type { AbortOptions, Clock } from '@dynamo-ts/base';
import type { Dealer } from 'zeromq';

import { Turns, isTimeout, loadZeromq, socketOptions } from './engine-socket.ts';
import { parseReplayFrame, replayRequest } from './event-frame.ts';
import type { EventFrame, FrameProblem } from './event-frame.ts';

/** How a replay ended: completely, because its reader had enough, or because the engine went silent. */
export type ReplayEnd = 'complete' | 'stopped' | 'timeout';

/** Reads one replay. */
export interface ReplayReader {
  /** @returns whether it wants more */
  take(frame: EventFrame): boolean;
  malformed(problem: FrameProblem): void;
}

/** Settings of a {@link ReplayClient}. */
export interface ReplayClientOptions {
  /** `tcp://host:port` of one rank. */
  readonly endpoint: string;
  /** Longest silence within an answer; engines look for questions every 100 ms. @default 2000 */
  readonly silenceTimeoutMs?: number | undefined;
  /** Longest answer. @default 10000 */
  readonly totalTimeoutMs?: number | undefined;
  readonly clock?: Clock | undefined;
}

/** Engines keep 10,000 batches and drop what a slow reader does not take, so this reader takes them all. */
const RECEIVE_QUEUE_MESSAGES = 20_000;

/** One engine's replay socket. */
export class ReplayClient {
  readonly #options: ReplayClientOptions;
  readonly #clock: Clock;

  constructor(options: ReplayClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Reads all batches from `from` on. @throws the signal's reason when aborted */
  async ask(from: bigint, reader: ReplayReader, options: AbortOptions = {}): Promise<ReplayEnd> {
    const { signal } = options;
    throwIfAborted(signal);
    const { endpoint, silenceTimeoutMs = 2000 } = this.#options;
    const zeromq = await loadZeromq();
    throwIfAborted(signal);
    const socket = new zeromq.Dealer({
      ...socketOptions(endpoint),
      receiveTimeout: silenceTimeoutMs,
      sendTimeout: silenceTimeoutMs,
      receiveHighWaterMark: RECEIVE_QUEUE_MESSAGES,
    });
    const off = onAbort(signal, () => {
      socket.close();
    });
    try {
      socket.connect(endpoint);
      await socket.send([...replayRequest(from)]);
      return await this.#read(socket, reader);
    } catch (error) {
      if (signal?.aborted === true) throw abortError(signal);
      if (isTimeout(error)) return 'timeout';
      throw error;
    } finally {
      off();
      socket.close();
    }
  }

  async #read(socket: Dealer, reader: ReplayReader): Promise<ReplayEnd> {
    const { totalTimeoutMs = 10_000 } = this.#options;
    const endMs = this.#clock.monotonicMs() + totalTimeoutMs;
    const turns = new Turns();
    while (this.#clock.monotonicMs() < endMs) {
      await turns.next();
      const message = parseReplayFrame(await socket.receive());
      if (message.kind === 'end') return 'complete';
      if (message.kind === 'malformed') reader.malformed(message.problem);
      else if (!reader.take(message)) return 'stopped';
    }
    return 'timeout';
  }
}
