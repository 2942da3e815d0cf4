/**
 * Puts one publisher's frames in order before they change anything: what was lost is asked for again, and what cannot be
 * had again is given up, upon which the sink drops what it believed of that rank.
 *
 * Frames must be offered one after the other; while lost ones are fetched, the socket's own bounded queue holds the rest.
 */
import type { AbortOptions } from '@dynamo-ts/base';

import type { EngineEventReports } from './engine-event-reports.ts';
import type { EventFrame } from './event-frame.ts';
import type { ReplayClient } from './replay-client.ts';

/** Where a frame stands in its publisher's stream, and whether it was applied. */
export interface FramePlacement {
  /** `gap`: frames before it are missing, nothing was applied. `refused`: it cannot be read; the stream goes on. */
  readonly place: 'first' | 'next' | 'gap' | 'stale' | 'restarted' | 'refused';
  /** First missing frame, after a gap. */
  readonly missingFrom?: bigint | undefined;
  /** Why it was refused. */
  readonly error?: string | undefined;
}

/** Decodes and applies frames; `LocalKvIndexer` of `@dynamo-ts/kv` is one. */
export interface EventFrameSink {
  acceptFrame(source: number, sequence: bigint, payload: Uint8Array): FramePlacement;
  /** Gives up the frames before `next`; the rank's blocks are dropped. @returns the next frame expected */
  skipTo(source: number, next: bigint): bigint;
}

/** Settings of a {@link FrameIntake}. */
export interface FrameIntakeOptions {
  /** Rank whose publisher it is. */
  readonly source: number;
  readonly sink: EventFrameSink;
  /** Without one, missing frames are given up at once. */
  readonly replay?: ReplayClient | undefined;
  /** Something may have changed in the sink. */
  readonly onChange: () => void;
  readonly reports: EngineEventReports;
}

const MAX_ROUNDS = 20;

/** Frames of one publisher. */
export class FrameIntake {
  readonly #options: FrameIntakeOptions;

  constructor(options: FrameIntakeOptions) {
    this.#options = options;
  }

  /** Takes a live frame. @throws the signal's reason when aborted while it waits for missing ones */
  async take(frame: EventFrame, options: AbortOptions = {}): Promise<void> {
    const missingFrom = this.#accept(frame);
    if (missingFrom === undefined) return;
    await this.catchUp(missingFrom, options);
    const stillMissing = this.#accept(frame);
    if (stillMissing !== undefined) this.#giveUp(stillMissing, frame);
  }

  /**
   * Asks for everything from `from` on. A publisher that is asked from 0 also shows whether it has restarted: its oldest
   * frames are then younger than the last ones taken.
   */
  async catchUp(from: bigint, options: AbortOptions = {}): Promise<void> {
    let next = from;
    // A publisher drops parts of an answer that is not taken fast enough; only a round that got further is worth another.
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const missingFrom = await this.#replay(next, options);
      if (missingFrom === undefined || missingFrom <= next) return;
      next = missingFrom;
    }
  }

  /** One question. @returns from where to ask again; undefined when there is no point */
  async #replay(from: bigint, options: AbortOptions): Promise<bigint | undefined> {
    const { replay, reports } = this.#options;
    if (replay === undefined) return undefined;
    let isFirst = true;
    let missingFrom: bigint | undefined;
    const take = (frame: EventFrame): boolean => {
      missingFrom = this.#accept(frame);
      // What is missing before the oldest frame that the engine has kept is gone.
      if (missingFrom !== undefined && isFirst) {
        this.#giveUp(missingFrom, frame);
        missingFrom = undefined;
      }
      isFirst = false;
      return missingFrom === undefined;
    };
    try {
      const malformed = reports.malformed.bind(reports);
      reports.replayed(await replay.ask(from, { take, malformed }, options));
    } catch (error) {
      if (options.signal?.aborted === true) throw error;
      reports.replayed('failed', error);
    }
    return missingFrom;
  }

  #giveUp(missingFrom: bigint, frame: EventFrame): void {
    const { reports, sink, source } = this.#options;
    reports.lost(frame.sequence - missingFrom);
    sink.skipTo(source, frame.sequence);
    this.#accept(frame);
  }

  /** Offers a frame to the sink. @returns the first missing frame when the frame could not be applied for lack of others */
  #accept(frame: EventFrame): bigint | undefined {
    const { onChange, reports, sink, source } = this.#options;
    const { error, missingFrom, place } = sink.acceptFrame(source, frame.sequence, frame.payload);
    switch (place) {
      case 'gap':
        return missingFrom ?? 0n;
      case 'refused':
        reports.refused(error ?? 'unreadable');
        onChange();
        return undefined;
      case 'restarted':
        reports.restarted();
        onChange();
        return undefined;
      case 'first':
      case 'next':
        onChange();
        return undefined;
      case 'stale':
        return undefined;
    }
  }
}
