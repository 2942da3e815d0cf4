/**
 * The private directory through which the services of one `dynamo up --processes` find each other. A launcher that is
 * killed cannot remove its own, so the next one does: services touch their files every few seconds, and a directory in which
 * nothing has moved for long belongs to nobody.
 */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PREFIX = 'dynamo-up-';
/** Heartbeats come every few seconds; a machine that slept, or a clock that jumped, is no reason to hurry. */
const ABANDONED_MS = 10 * 60_000;

/** Removes directories of launchers that were killed and makes a fresh one. @returns its path */
export async function createFleetDirectory(parent: string = tmpdir()): Promise<string> {
  await removeAbandoned(parent);
  return mkdtemp(join(parent, PREFIX));
}

async function removeAbandoned(parent: string): Promise<void> {
  const oldest = Date.now() - ABANDONED_MS;
  for (const name of await readdir(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(parent, name);
    try {
      if ((await lastChangeMs(path)) < oldest) await rm(path, { recursive: true, force: true });
    } catch {
      // Another user's, or just removed by another launcher.
    }
  }
}

/** When anything in a directory was last written. */
async function lastChangeMs(path: string): Promise<number> {
  const names = ['.', ...(await readdir(path, { recursive: true }))];
  const changes = await Promise.all(
    names.map(async (name) => (await stat(join(path, name))).mtimeMs),
  );
  return Math.max(...changes);
}
