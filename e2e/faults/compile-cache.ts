/**
 * What Node has made of the services' sources, kept for the time of a run: a scenario starts up to a dozen processes, and
 * most of the time that a start takes goes into reading TypeScript.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { NodeProgram } from '@dynamo-ts/testing';

import { MAINS } from './service.ts';

/** A folder with compiled sources. */
export class CompileCache implements AsyncDisposable {
  /** What processes that are to use it must have in their environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.env = { NODE_COMPILE_CACHE: folder };
  }

  /** Fills a new one: processes that are killed leave nothing in it. */
  static async create(): Promise<CompileCache> {
    const cache = new CompileCache(await mkdtemp(join(tmpdir(), 'dynamo-faults-code-')));
    const programs = Object.values(MAINS).map((main) =>
      NodeProgram.start(main, { args: ['--help'], env: cache.env }),
    );
    await Promise.all(programs.map(({ exited }) => exited));
    return cache;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}
