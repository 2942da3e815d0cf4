/**
 * Reads one bucket directory: its whole records, and which files are too old to be alive.
 *
 * A file's modification time is its owner's heartbeat. It is dead when that is older than the TTL; for a file that this
 * scanner has seen alive, it must also not have moved for a TTL of our own running time, so that a machine that wakes
 * from suspend does not bury everyone at once. Dead files are removed by whoever sees them (RF 1.3).
 */
import { readFile, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';

import type { Clock } from '@dynamo-ts/base';

import { isReadable } from '../record-view.ts';
import { tryDecodeFileName } from './file-names.ts';

/** Settings of a {@link BucketScanner}. */
export interface BucketScannerOptions {
  readonly folderPath: string;
  readonly ttlMs: number;
  readonly clock: Clock;
  /** Told about every file of a dead process that was removed. */
  readonly onExpired: (fileName: string) => void;
}

interface SeenFile {
  readonly version: string;
  readonly changedAtMs: number;
  /** The last whole value. */
  readonly value: Uint8Array | undefined;
}

/** What a look at one file found; `absent` covers dead files. */
export type FileFinding =
  | { readonly kind: 'record'; readonly rest: string; readonly value: Uint8Array }
  | { readonly kind: 'absent'; readonly rest: string }
  | { readonly kind: 'unreadable' };

const SCAN_CONCURRENCY = 32;

/** Looks at files and remembers them between looks. */
export class BucketScanner {
  readonly #options: BucketScannerOptions;
  readonly #seen = new Map<string, SeenFile>();

  constructor(options: BucketScannerOptions) {
    this.#options = options;
  }

  /** Looks at every file of the bucket, and at those that were there before. A bucket without directory is empty. */
  async scan(): Promise<FileFinding[]> {
    const names = new Set([...(await this.#fileNames()), ...this.#seen.keys()]);
    const waiting = [...names];
    const findings: FileFinding[] = [];
    while (waiting.length > 0) {
      const chunk = waiting.splice(0, SCAN_CONCURRENCY);
      findings.push(...(await Promise.all(chunk.map((name) => this.look(name)))));
    }
    return findings;
  }

  /** Looks at one file. */
  async look(fileName: string): Promise<FileFinding> {
    const rest = tryDecodeFileName(fileName);
    let value: Uint8Array | undefined;
    try {
      const isAlive = await this.#update(fileName, join(this.#options.folderPath, fileName));
      if (!isAlive) return this.#forget(fileName, rest);
      value = this.#seen.get(fileName)?.value;
    } catch (error) {
      if (isNotFound(error)) return this.#forget(fileName, rest);
      // One file that cannot be read, another user's for example, must not hide all others.
      return { kind: 'unreadable' };
    }
    return rest === undefined || value === undefined
      ? { kind: 'unreadable' }
      : { kind: 'record', rest, value };
  }

  /** Reads a file that has changed and removes a dead one. @returns whether it is alive */
  async #update(fileName: string, path: string): Promise<boolean> {
    const file = await stat(path, { bigint: true });
    if (!file.isFile()) return true;
    const version = `${file.ino}/${file.size}/${file.mtimeNs}`;
    const seen = this.#seen.get(fileName);
    if (this.#isDead(Number(file.mtimeMs), version === seen?.version ? seen : undefined, seen)) {
      if (await tryUnlink(path)) this.#options.onExpired(fileName);
      return false;
    }
    if (version !== seen?.version) await this.#read(fileName, version, path);
    return true;
  }

  async #fileNames(): Promise<string[]> {
    try {
      return await readdir(this.#options.folderPath);
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  }

  #isDead(
    modifiedMs: number,
    unchanged: SeenFile | undefined,
    seen: SeenFile | undefined,
  ): boolean {
    const { clock, ttlMs } = this.#options;
    if (clock.now() - modifiedMs <= ttlMs) return false;
    if (!seen) return true;
    return unchanged !== undefined && clock.monotonicMs() - unchanged.changedAtMs > ttlMs;
  }

  async #read(fileName: string, version: string, path: string): Promise<void> {
    const value = await readFile(path);
    this.#seen.set(fileName, {
      version,
      changedAtMs: this.#options.clock.monotonicMs(),
      value: isReadable(value) ? value : this.#seen.get(fileName)?.value,
    });
  }

  #forget(fileName: string, rest: string | undefined): FileFinding {
    this.#seen.delete(fileName);
    return rest === undefined ? { kind: 'unreadable' } : { kind: 'absent', rest };
  }
}

/** Removes a dead file; one that belongs to someone else stays, and is dead all the same. */
async function tryUnlink(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (isNotFound(error)) throw error;
    return false;
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
