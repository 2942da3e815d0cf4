/**
 * Decisions as lines of JSON in a file that does not grow without bound: a full one is renamed to `.1`, older ones move
 * on, the oldest goes. What cannot be written is dropped and logged; routing never waits for it.
 */
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { appendFile, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

import { DynamoError } from '@dynamo-ts/base';
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
const LINE_FEED = 10;

/** Makes the file of a decision log where there is none. @throws `config.invalid` when it cannot be written */
export function prepareDecisionFile(path: string): void {
  try {
    makeFolder(dirname(path));
    closeSync(openSync(path, 'a'));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `cannot write the decision log ${path} (--router-decision-log): ${reason}`;
    throw new DynamoError('config.invalid', message, { cause });
  }
}

/** The decision log of a process; the routers of all its endpoints write to it. */
export class DecisionFile implements AsyncDisposable {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #keep: number;
  readonly #logger: Logger;
  #sizeBytes: number | undefined;
  /** Its last line was cut off: a process was killed, or the disk was full. */
  #isTorn = false;
  /** The writes so far, one after the other. */
  #written: Promise<unknown> = Promise.resolve();
  #isFailing = false;

  constructor(options: DecisionFileOptions) {
    this.#path = options.path;
    this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
    this.#keep = options.keep ?? DEFAULT_KEEP;
    this.#logger = options.logger;
  }

  /** Never rejects. @returns whether the lines are in the file; otherwise they are given up */
  append(lines: string): Promise<boolean> {
    const isWritten = this.#written.then(() => this.#tryWrite(lines));
    this.#written = isWritten;
    return isWritten;
  }

  /** Waits for what is being written. Idempotent. */
  async close(): Promise<void> {
    await this.#written;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #tryWrite(lines: string): Promise<boolean> {
    try {
      this.#sizeBytes ??= await this.#open();
      const sizeBytes = Buffer.byteLength(lines);
      if (this.#sizeBytes > 0 && this.#sizeBytes + sizeBytes > this.#maxBytes) await this.#rotate();
      await appendFile(this.#path, this.#isTorn ? `\n${lines}` : lines);
      this.#sizeBytes += sizeBytes;
      this.#isTorn = false;
      this.#isFailing = false;
      return true;
    } catch (error) {
      this.#sizeBytes = undefined;
      if (!this.#isFailing)
        this.#logger.error('decisions cannot be logged', { path: this.#path, error });
      this.#isFailing = true;
      return false;
    }
  }

  async #open(): Promise<number> {
    await mkdir(dirname(this.#path)).catch(ignore('EEXIST'));
    await using file = await open(this.#path, 'a+');
    const { size } = await file.stat();
    const { buffer } = await file.read({
      buffer: Buffer.alloc(1),
      position: Math.max(0, size - 1),
    });
    this.#isTorn = size > 0 && buffer[0] !== LINE_FEED;
    return size;
  }

  async #rotate(): Promise<void> {
    await rm(`${this.#path}.${this.#keep}`, { force: true });
    for (let number = this.#keep - 1; number >= 0; number--) {
      const from = number === 0 ? this.#path : `${this.#path}.${number}`;
      await rename(from, `${this.#path}.${number + 1}`).catch(ignore('ENOENT'));
    }
    if (this.#keep === 0) await rm(this.#path, { force: true });
    this.#sizeBytes = 0;
    this.#isTorn = false;
  }
}

/** Not by Node's recursive mkdir: it never returns where folders cannot be made, such as in `/proc`. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    ignore('EEXIST')(error);
  }
}

function ignore(code: string): (error: unknown) => void {
  return (error) => {
    if (error instanceof Error && 'code' in error && error.code === code) return;
    throw error;
  };
}
