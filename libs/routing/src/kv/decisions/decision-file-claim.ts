/**
 * Which file of decisions this process writes: the one that was named, or, while another process writes that one, the
 * next that is free (`log-2.ndjson`, `log-3.ndjson`), so that none is written or rotated by two.
 *
 * `FILE.claim` beside a file says who writes it. It is touched while its process lives and goes with it; what a crash
 * leaves is taken over at once where the process can be seen to be gone, and otherwise (another container, another
 * machine) when it has not been touched for half a minute.
 */
import { randomUUID } from 'node:crypto';
import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join, parse } from 'node:path';

import { DynamoError } from '@dynamo-ts/base';
import type { Logger } from '@dynamo-ts/telemetry';

import { abandonedClaim, claimOf, readClaim, takeOver, touch } from './claim-file.ts';
import type { Claim } from './claim-file.ts';
import { ownMark } from './process-mark.ts';

/** What a {@link DecisionFileClaim} is told. */
export interface DecisionFileClaimOptions {
  /** The file that was named. */
  readonly path: string;
  readonly logger: Logger;
}

const TOUCH_MS = 5000;
/** More processes than share a folder of logs. */
const MOST_FILES = 1000;

/** The right to write one file. */
export class DecisionFileClaim {
  readonly #options: DecisionFileClaimOptions;
  readonly #claim: Claim = { ...ownMark(), token: randomUUID() };
  #timer: NodeJS.Timeout | undefined;
  #path: string;
  /** False where none can be kept: a device, or a folder that cannot be written. */
  #isKept = true;

  private constructor(options: DecisionFileClaimOptions) {
    this.#options = options;
    this.#path = options.path;
  }

  /** Finds a file and claims it. @throws `config.invalid` when a thousand are taken */
  static take(options: DecisionFileClaimOptions): DecisionFileClaim {
    const claim = new DecisionFileClaim(options);
    claim.#take();
    claim.#timer = setInterval(() => claim.verify(), TOUCH_MS).unref();
    return claim;
  }

  /** The file to write. */
  get path(): string {
    return this.#path;
  }

  /** Keeps the claim. A process that was stopped for so long that another took its file goes on in the next free one. */
  verify(): void {
    if (!this.#isKept) return;
    try {
      if (readClaim(this.#path)?.token === this.#claim.token) touch(this.#path);
      else this.#take();
    } catch (error) {
      this.#options.logger.error('the decision log cannot be claimed', { path: this.#path, error });
    }
  }

  /** Gives the file back. Idempotent. */
  release(): void {
    clearInterval(this.#timer);
    if (!this.#isKept || readClaim(this.#path)?.token !== this.#claim.token) return;
    rmSync(claimOf(this.#path), { force: true });
    this.#isKept = false;
  }

  #take(): void {
    const { path, logger } = this.#options;
    for (let number = 1; number <= MOST_FILES; number++) {
      const file = fileOf(path, number);
      if (!this.#tryTake(file)) continue;
      this.#path = file;
      if (number === 1) logger.info('decisions are written to a file', { path });
      else tellTaken(logger, file, path);
      return;
    }
    throw new DynamoError(
      'config.invalid',
      `the decision log ${path} (--router-decision-log) and ${MOST_FILES - 1} others beside it are written by other processes; name another`,
    );
  }

  #tryTake(file: string): boolean {
    if (isDevice(file)) {
      this.#isKept = false;
      return true;
    }
    try {
      const abandoned = abandonedClaim(file);
      if (abandoned !== undefined) return takeOver(file, abandoned, this.#claim);
      writeFileSync(claimOf(file), JSON.stringify(this.#claim), { flag: 'wx' });
      return true;
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
      this.#isKept = false;
      this.#options.logger.warn('nothing keeps other processes from the same decision log', {
        path: file,
        error,
      });
      return true;
    }
  }
}

function tellTaken(logger: Logger, path: string, named: string): void {
  const writer = readClaim(named);
  logger.warn('another process writes the decision log that was named; this one writes its own', {
    path,
    named,
    writer_pid: writer?.pid,
    writer_host: writer?.host,
  });
}

/** `log.ndjson`, `log-2.ndjson`, `log-3.ndjson`. */
function fileOf(path: string, number: number): string {
  if (number === 1) return path;
  const { dir, name, ext } = parse(path);
  return join(dir, `${name}-${number}${ext}`);
}

function isDevice(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false });
  return found !== undefined && !found.isFile();
}
