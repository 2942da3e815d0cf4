import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it } from 'vitest';

import { createFleetDirectory } from './fleet-directory.ts';

const LONG_AGO = new Date(Date.now() - 3_600_000);
let parent = '';

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'fleet-directory-'));
});

afterEach(async () => {
  await rm(parent, { recursive: true, force: true });
});

/** A directory made long ago, with a file that was touched at `touched`. */
async function directory(name: string, touched: Date): Promise<void> {
  const bucket = join(parent, name, 'v1/instances');
  await mkdir(bucket, { recursive: true });
  await writeFile(join(bucket, 'one'), '{}');
  await utimes(join(bucket, 'one'), touched, touched);
  for (const path of ['v1/instances', 'v1', '.']) {
    await utimes(join(parent, name, path), LONG_AGO, LONG_AGO);
  }
}

it('removes what killed launchers left, and nothing that lives or is not ours', async () => {
  await directory('dynamo-up-dead', LONG_AGO);
  await directory('dynamo-up-alive', new Date());
  await directory('other-dead', LONG_AGO);
  const made = await createFleetDirectory(parent);
  expect((await readdir(parent)).sort()).toEqual(
    ['dynamo-up-alive', 'other-dead', made.slice(parent.length + 1)].sort(),
  );
});
