/**
 * Decisions as lines of JSON in a file that does not grow without bound: a full one is renamed to `.1`, older ones move
 * on, the oldest goes. No other process writes the same file ({@link DecisionFileClaim}). What cannot be written is
 * dropped and logged; routing never waits for it.
 */
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { appendFile, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

import { DynamoError } from '@dynamo-ts/base';
import type { Logger } from '@dynamo-ts/telemetry';

import { DecisionFileClaim } from './decision-file-claim.ts';

/** Settings of a {@link DecisionFile}. */
export interface DecisionFileOptions {
  /** The file, or where it is taken its name: `log-2.ndjson` for `log.ndjson`. */
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
  readonly #claim: DecisionFileClaim;
  readonly #maxBytes: number;
  readonly #keep: number;
  readonly #logger: Logger;
  /** The file that is open, and what it holds. */
  #path = '';
  #sizeBytes: number | undefined;
  #isDevice = false;
  /** Its last line was cut off: a process was killed, or the disk was full. */
  #isTorn = false;
  /** The writes so far, one after the other. */
  #written: Promise<unknown> = Promise.resolve();
  #isFailing = false;

  private constructor(options: DecisionFileOptions, claim: DecisionFileClaim) {
    this.#claim = claim;
    this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
    this.#keep = options.keep ?? DEFAULT_KEEP;
    this.#logger = options.logger;
  }

  /** Claims a file and makes it where there is none. @throws `config.invalid` when it cannot be written */
  static open(options: DecisionFileOptions): DecisionFile {
    const { path, logger } = options;
    prepareDecisionFile(path);
    return new DecisionFile(options, DecisionFileClaim.take({ path, logger }));
  }

  /** The file that is written now. */
  get path(): string {
    return this.#claim.path;
  }

  /** Never rejects. @returns whether the lines are in the file; otherwise they are given up */
  append(lines: string): Promise<boolean> {
    const isWritten = this.#written.then(() => this.#tryWrite(lines));
    this.#written = isWritten;
    return isWritten;
  }

  /** Waits for what is being written and lets others write the file. Idempotent. */
  async close(): Promise<void> {
    await this.#written;
    this.#claim.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #tryWrite(lines: string): Promise<boolean> {
    try {
      const sizeBytes = Buffer.byteLength(lines);
      await this.#makeRoom(sizeBytes);
      await appendFile(this.#path, this.#isTorn ? `\n${lines}` : lines);
      this.#sizeBytes = (this.#sizeBytes ?? 0) + sizeBytes;
      this.#isTorn = false;
      this.#isFailing = false;
      return true;
    } catch (error) {
      this.#sizeBytes = undefined;
      if (!this.#isFailing)
        this.#logger.error('decisions cannot be logged', { path: this.path, error });
      this.#isFailing = true;
      return false;
    }
  }

  async #makeRoom(sizeBytes: number): Promise<void> {
    if ((await this.#openSize()) + sizeBytes <= this.#maxBytes) return;
    // Before files are renamed: after a long stop another process may have taken them.
    this.#claim.verify();
    const size = await this.#openSize();
    if (size > 0 && size + sizeBytes > this.#maxBytes && !this.#isDevice) await this.#rotate();
  }

  /** Size of the file that is claimed. */
  async #openSize(): Promise<number> {
    if (this.#path !== this.path) this.#sizeBytes = undefined;
    this.#path = this.path;
    return (this.#sizeBytes ??= await this.#open());
  }

  async #open(): Promise<number> {
    await mkdir(dirname(this.#path)).catch(ignore('EEXIST'));
    await using file = await open(this.#path, 'a+');
    const found = await file.stat();
    const { size } = found;
    this.#isDevice = !found.isFile();
    if (this.#isDevice) return 0;
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
