/** Tells routers the load of a worker: for workers that are not fronted by the shim, which does it by itself. */
import { ActiveLoad } from '@dynamo-ts/protocol';

import type { EventPublisher } from './event-plane/event-plane.ts';

/** Load of one data-parallel rank; what is not said is 0. */
export interface WorkerLoadReport {
  /** @default 0 */
  readonly dpRank?: number;
  /** Requests that run. */
  readonly activeRequests?: number;
  /** Requests that wait in the engine. */
  readonly waitingRequests?: number;
  /** KV blocks that requests hold. */
  readonly activeDecodeBlocks?: number;
  /** Prompt tokens not computed yet. */
  readonly activePrefillTokens?: number;
  /** KV blocks that there are. */
  readonly totalKvBlocks?: number;
}

/** Publishes the load of one worker; made by `Component.createMetricsPublisher`. */
export class WorkerMetricsPublisher implements AsyncDisposable {
  readonly #publisher: EventPublisher;

  constructor(publisher: EventPublisher) {
    this.#publisher = publisher;
  }

  /** Sends the load of a rank; never waits. Call it when the load has changed. */
  publish(report: WorkerLoadReport): void;
  /** The reference's form: only the blocks that requests hold. */
  publish(dpRank: number, activeDecodeBlocks: number): void;
  publish(report: WorkerLoadReport | number, activeDecodeBlocks = 0): void {
    const load = typeof report === 'number' ? { dpRank: report, activeDecodeBlocks } : report;
    const workerId = this.#publisher.publisherId;
    this.#publisher.publish(ActiveLoad.encode(ActiveLoad.create({ workerId, ...load })).finish());
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#publisher.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
