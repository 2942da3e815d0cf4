import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { expect, it } from 'vitest';

import { readFileDescriptors } from './descriptors.ts';

const run = promisify(execFile);
const LIBRARY = join(import.meta.dirname, '..');
const BUF = join(LIBRARY, '../../node_modules/.bin/buf');

it('the committed descriptors are those of the contracts; else run npm run generate', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'descriptors-'));
  const fresh = join(folder, 'descriptors.binpb');
  await run(BUF, ['build', '--as-file-descriptor-set', '--exclude-source-info', '-o', fresh], {
    cwd: LIBRARY,
  });
  const committed = await readFile(join(LIBRARY, 'descriptors.binpb'));
  expect(committed.equals(await readFile(fresh))).toBe(true);
  await rm(folder, { recursive: true });
  expect((await readFileDescriptors()).length).toBeGreaterThan(5);
});

it('the contracts break nothing that was accepted', async () => {
  await run(BUF, ['breaking', '--against', 'accepted/image.binpb'], { cwd: LIBRARY });
});
