/**
 * Keeps views of one bucket current: the file system's notifications for speed, and a scan of the whole bucket from
 * time to time for what they do not tell (dead processes, lost notifications, a directory that was removed).
 */
import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { mkdir } from 'node:fs/promises';

import { TaskGroup } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type { Logger } from '@dynamo-ts/telemetry';

import type { RecordView } from '../record-view.ts';
import type { BucketScanner, FileFinding } from './bucket-scanner.ts';
import { TEMPORARY_PREFIX } from './file-names.ts';

/** Settings of a {@link BucketWatcher}. */
export interface BucketWatcherOptions {
  readonly folderPath: string;
  readonly scanner: BucketScanner;
  readonly scanIntervalMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether the last look at the directory succeeded. */
  readonly onState: (isReachable: boolean) => void;
}

interface Follower {
  readonly view: RecordView;
  /** What a file name must begin with after decoding. */
  readonly restPrefix: string;
  readonly keyOf: (rest: string) => string;
}

/** Watches one directory for any number of views. */
export class BucketWatcher implements AsyncDisposable {
  readonly #options: BucketWatcherOptions;
  readonly #tasks: TaskGroup;
  readonly #followers = new Set<Follower>();
  readonly #changedNames = new Set<string>();
  #notifier: FSWatcher | undefined;
  #wake: (() => void) | undefined;

  constructor(options: BucketWatcherOptions) {
    this.#options = options;
    this.#tasks = new TaskGroup({
      name: `watch ${options.folderPath}`,
      onError: (error) => {
        options.logger.error('Watching a discovery directory failed', { error });
      },
    });
  }

  /** How many views follow. */
  get size(): number {
    return this.#followers.size;
  }

  /** Starts watching. */
  start(): void {
    this.#tasks.start('scan', (signal) => this.#run(signal));
  }

  /** Fills the view with the records whose rest begins with `restPrefix` and keeps it current. @returns ends it */
  follow(follower: Follower): () => void {
    this.#followers.add(follower);
    this.#wake?.();
    return () => this.#followers.delete(follower);
  }

  async close(): Promise<void> {
    this.#notifier?.close();
    await this.#tasks.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, scanIntervalMs } = this.#options;
    let nextScanMs = 0;
    let isReadable = true;
    const served = new WeakSet<Follower>();
    while (!signal.aborted) {
      if (this.#hasUnserved(served) || clock.monotonicMs() >= nextScanMs) {
        const followers = [...this.#followers];
        isReadable = await this.#scanAll(followers);
        if (isReadable) for (const follower of followers) served.add(follower);
        nextScanMs = clock.monotonicMs() + scanIntervalMs;
      } else {
        await this.#lookAtChanged();
      }
      // A view that came during a scan is filled at once and not by the next one.
      const isBehind = isReadable && this.#hasUnserved(served);
      if (this.#changedNames.size === 0 && !isBehind) await this.#pause(nextScanMs, signal);
    }
  }

  #hasUnserved(served: WeakSet<Follower>): boolean {
    return [...this.#followers].some((follower) => !served.has(follower));
  }

  /** Reads the whole bucket into all views. @returns whether the directory could be read */
  async #scanAll(followers: readonly Follower[]): Promise<boolean> {
    try {
      await this.#listen();
      this.#changedNames.clear();
      for (const finding of await this.#options.scanner.scan()) this.#apply(finding);
      for (const { view } of followers) view.complete();
      this.#options.onState(true);
      return true;
    } catch (error) {
      this.#options.logger.warn('Discovery directory cannot be read; trying again', {
        path: this.#options.folderPath,
        error,
      });
      this.#options.onState(false);
      return false;
    }
  }

  async #lookAtChanged(): Promise<void> {
    for (const name of this.#changedNames) {
      this.#changedNames.delete(name);
      try {
        this.#apply(await this.#options.scanner.look(name));
      } catch (error) {
        this.#options.logger.debug('Discovery file cannot be read; next scan tries again', {
          name,
          error,
        });
      }
    }
  }

  #apply(finding: FileFinding): void {
    if (finding.kind === 'unreadable') return;
    for (const { view, restPrefix, keyOf } of this.#followers) {
      if (!finding.rest.startsWith(restPrefix)) continue;
      if (finding.kind === 'absent') view.delete(keyOf(finding.rest));
      else view.put(keyOf(finding.rest), finding.value);
    }
  }

  /** Asks the system for notifications, again when the directory was replaced. */
  async #listen(): Promise<void> {
    const { folderPath, logger } = this.#options;
    const created = await mkdir(folderPath, { recursive: true });
    if (this.#notifier && created === undefined) return;
    this.#notifier?.close();
    this.#notifier = undefined;
    try {
      this.#notifier = watch(folderPath, (_event, fileName) => {
        if (fileName === null || fileName.startsWith(TEMPORARY_PREFIX)) return;
        this.#changedNames.add(fileName);
        this.#wake?.();
      });
      this.#notifier.on('error', (error) => {
        logger.warn('File notifications ended; scanning only', { path: folderPath, error });
        this.#notifier = undefined;
      });
    } catch (error) {
      logger.warn('No file notifications; scanning only', { path: folderPath, error });
    }
  }

  async #pause(untilMs: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => {
      woken.abort();
    };
    const { clock } = this.#options;
    const both = AbortSignal.any([signal, woken.signal]);
    await clock.sleep(Math.max(untilMs - clock.monotonicMs(), 0), { signal: both }).catch(() => {});
    this.#wake = undefined;
  }
}
