/** The main thread's hold on the worker that keeps this process's etcd lease. */
import type { Worker } from 'node:worker_threads';

import type { Logger } from '@dynamo-ts/telemetry';

import { startWorkerThread } from '../worker-thread.ts';
import type { EtcdSettings } from './etcd-client.ts';
import type {
  EtcdLeaseReport,
  EtcdLeaseRequest,
  EtcdLeaseWorkerData,
} from './etcd-lease-messages.ts';

/** Settings of an {@link EtcdLease}. */
export interface EtcdLeaseOptions {
  readonly settings: EtcdSettings;
  readonly ttlSeconds: number;
  readonly logger: Logger;
  /** Told about everything the thread reports, in order. */
  readonly onReport: (report: EtcdLeaseReport) => void;
}

/** The thread answers `close` within the time of a revocation; one that does not is ended. */
const CLOSE_TIMEOUT_MS = 4000;
/** It does not fail by design; if it does, it may fail again at once. */
const RESTART_DELAY_MS = 1000;

/** A lease that is always replaced when lost. */
export class EtcdLease implements AsyncDisposable {
  readonly #options: EtcdLeaseOptions;
  readonly #closed: PromiseWithResolvers<void> = Promise.withResolvers();
  #worker: Worker | undefined;

  constructor(options: EtcdLeaseOptions) {
    this.#options = options;
  }

  /** Starts the thread unless it runs. */
  start(): void {
    this.#worker ??= this.#launch();
  }

  /** Asks the thread to renew now. */
  check(): void {
    this.#send({ kind: 'check' });
  }

  /** Revokes the lease, so that its records vanish at once. Idempotent. */
  async close(): Promise<void> {
    if (!this.#worker) return;
    this.#worker.ref();
    this.#send({ kind: 'close' });
    const timer = setTimeout(this.#closed.resolve, CLOSE_TIMEOUT_MS);
    await this.#closed.promise;
    clearTimeout(timer);
    await this.abandon();
  }

  /** Ends the thread as a crash would: the lease runs out. */
  async abandon(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    worker?.removeAllListeners();
    await worker?.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #send(request: EtcdLeaseRequest): void {
    this.#worker?.postMessage(request);
  }

  #launch(): Worker {
    const { settings, ttlSeconds, logger, onReport } = this.#options;
    const workerData: EtcdLeaseWorkerData = { settings, ttlSeconds };
    const worker = startWorkerThread(import.meta.url, 'etcd-lease-worker', { workerData });
    worker.on('message', (report: EtcdLeaseReport) => {
      // Until it has a lease someone waits for it; afterwards the thread must not keep the process running.
      if (report.kind === 'granted') worker.unref();
      if (report.kind === 'closed') this.#closed.resolve();
      onReport(report);
    });
    worker.on('error', (error) => {
      logger.error('Thread that keeps the etcd lease died; starting it again', { error });
      setTimeout(() => {
        if (this.#worker === worker) this.#worker = this.#launch();
      }, RESTART_DELAY_MS);
    });
    return worker;
  }
}
