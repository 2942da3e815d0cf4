/**
 * Decisions as lines of JSON in a file that does not grow without bound: a full one is renamed to `.1`, older ones move
 * on, the oldest goes. What cannot be written is dropped and logged; routing never waits for it.
 */
import { appendFile, mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import type { Logger } from '@dynamo-ts/telemetry';

/** Settings of a {@link DecisionFile}. */
export interface DecisionFileOptions {
  readonly path: string;
  /** Size at which a file is full. @default 64 MiB */
  readonly maxBytes?: number | undefined;
  /** Full files that are kept. @default 3 */
  readonly keep?: number | undefined;
  readonly logger: Logger;
}

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;
const DEFAULT_KEEP = 3;

/** The decision log of a process; the routers of all its endpoints write to it. */
export class DecisionFile implements AsyncDisposable {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #keep: number;
  readonly #logger: Logger;
  #sizeBytes: number | undefined;
  /** The writes so far, one after the other. */
  #written: Promise<void> = Promise.resolve();
  #isFailing = false;

  constructor(options: DecisionFileOptions) {
    this.#path = options.path;
    this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
    this.#keep = options.keep ?? DEFAULT_KEEP;
    this.#logger = options.logger;
  }

  /** Resolves when the lines are in the file, or are given up. Never rejects. */
  append(lines: string): Promise<void> {
    this.#written = this.#written.then(() => this.#tryWrite(lines));
    return this.#written;
  }

  /** Waits for what is being written. Idempotent. */
  async close(): Promise<void> {
    await this.#written;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #tryWrite(lines: string): Promise<void> {
    try {
      const bytes = Buffer.from(lines, 'utf8');
      this.#sizeBytes ??= await this.#open();
      if (this.#sizeBytes > 0 && this.#sizeBytes + bytes.byteLength > this.#maxBytes)
        await this.#rotate();
      await appendFile(this.#path, bytes);
      this.#sizeBytes += bytes.byteLength;
      this.#isFailing = false;
    } catch (error) {
      this.#sizeBytes = undefined;
      if (this.#isFailing) return;
      this.#isFailing = true;
      this.#logger.error('decisions cannot be logged', { path: this.#path, error });
    }
  }

  async #open(): Promise<number> {
    await mkdir(dirname(this.#path), { recursive: true });
    return stat(this.#path).then(
      ({ size }) => size,
      () => 0, // there is none yet
    );
  }

  async #rotate(): Promise<void> {
    await rm(`${this.#path}.${this.#keep}`, { force: true });
    for (let number = this.#keep - 1; number >= 0; number--) {
      const from = number === 0 ? this.#path : `${this.#path}.${number}`;
      await rename(from, `${this.#path}.${number + 1}`).catch(ignoreMissing);
    }
    if (this.#keep === 0) await rm(this.#path, { force: true });
    this.#sizeBytes = 0;
  }
}

function ignoreMissing(error: unknown): void {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
  throw error;
}
