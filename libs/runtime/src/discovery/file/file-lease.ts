/** The main thread's hold on the worker that owns this process's record files. */
import { dirname, join } from 'node:path';
import type { Worker } from 'node:worker_threads';

import type { Logger } from '@dynamo-ts/telemetry';

import { startWorkerThread } from '../worker-thread.ts';
import type { FileLeaseReply, FileLeaseRequest } from './file-lease-messages.ts';
import { temporaryName } from './file-names.ts';

/** Settings of a {@link FileLease}. */
export interface FileLeaseOptions {
  readonly heartbeatMs: number;
  readonly logger: Logger;
}

/** Resolves with a system error code, or undefined when the request was done. */
type Settle = (errorCode: string | undefined) => void;

/** Files that are kept alive until removed. The thread starts with the first of them. */
export class FileLease {
  readonly #options: FileLeaseOptions;
  readonly #files = new Map<string, Uint8Array>();
  readonly #pending = new Map<number, Settle>();
  #worker: Worker | undefined;
  #nextId = 1;

  constructor(options: FileLeaseOptions) {
    this.#options = options;
  }

  /** Writes a file and keeps it alive. @returns the system's error code when it could not */
  async put(path: string, value: Uint8Array): Promise<string | undefined> {
    const temporaryPath = join(dirname(path), temporaryName());
    const errorCode = await this.#ask((id) => ({ kind: 'put', id, path, temporaryPath, value }));
    if (errorCode === undefined) this.#files.set(path, value);
    return errorCode;
  }

  /** Removes a file if it is still the one that was written here. */
  async remove(path: string): Promise<void> {
    this.#files.delete(path);
    await this.#ask((id) => ({ kind: 'remove', id, path }));
  }

  /** Removes all files and ends the thread. Idempotent. */
  async close(): Promise<void> {
    if (!this.#worker) return;
    await this.#ask((id) => ({ kind: 'close', id }));
    await this.abandon();
  }

  /** Ends the thread as a crash would: files stay and grow old. */
  async abandon(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    if (!worker) return;
    worker.removeAllListeners();
    await worker.terminate();
    this.#settleAll('ECANCELED');
  }

  async #ask(build: (id: number) => FileLeaseRequest): Promise<string | undefined> {
    const worker = (this.#worker ??= this.#start());
    const request = build(this.#nextId++);
    const answered = new Promise<string | undefined>((resolve) => {
      this.#pending.set(request.id, resolve);
    });
    // An idle thread must not keep the process running; one that owes an answer must.
    worker.ref();
    worker.postMessage(request);
    const errorCode = await answered;
    if (this.#pending.size === 0) worker.unref();
    return errorCode;
  }

  #start(): Worker {
    const worker = startWorkerThread(import.meta.url, 'file-lease-worker', {
      workerData: { heartbeatMs: this.#options.heartbeatMs },
    });
    worker.on('message', (reply: FileLeaseReply) => {
      const settle = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      settle?.(reply.errorCode);
    });
    worker.on('error', (error) => {
      this.#restart(error);
    });
    return worker;
  }

  /** The thread does not throw by design; if it dies, callers must not hang and files must not grow old. */
  #restart(error: unknown): void {
    this.#options.logger.error('Thread that keeps discovery files alive died; started again', {
      error,
    });
    this.#worker = undefined;
    this.#settleAll('ECANCELED');
    for (const [path, value] of this.#files) void this.put(path, value);
  }

  #settleAll(errorCode: string): void {
    for (const settle of this.#pending.values()) settle(errorCode);
    this.#pending.clear();
  }
}
