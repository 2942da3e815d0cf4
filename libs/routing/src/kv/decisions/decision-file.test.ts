import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { nullLogger } from '@dynamo-ts/telemetry';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { DecisionFile } from './decision-file.ts';

let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'decisions-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');

describe('DecisionFile', () => {
  it('makes file and folders, and leaves a file as it is', async () => {
    const path = join(folder, 'a', 'b', 'log');
    await DecisionFile.open({ path, logger: nullLogger }).close();
    await writeFile(path, 'old\n');
    await DecisionFile.open({ path, logger: nullLogger }).close();
    expect(await read('a/b/log')).toBe('old\n');
    expect(await readdir(join(folder, 'a', 'b'))).toEqual(['log']);
  });

  it.each([
    ['a folder', () => folder, 'EISDIR'],
    ['below a file', () => join(import.meta.filename, 'log'), 'ENOTDIR'],
    ['where nothing can be made', () => '/proc/nope/x/log', 'ENOENT'],
  ])('refuses %s', (_, path, code) => {
    expect(() => DecisionFile.open({ path: path(), logger: nullLogger })).toThrow(
      expect.objectContaining({
        code: 'config.invalid',
        message: expect.stringContaining(code) as string,
      }),
    );
  });

  it('keeps the order of what is appended', async () => {
    await using file = DecisionFile.open({ path: join(folder, 'a', 'log'), logger: nullLogger });
    const writes = ['1\n', '2\n', '3\n'].map((line) => file.append(line));
    await Promise.all(writes);
    expect(await read('a/log')).toBe('1\n2\n3\n');
  });

  it('moves full files on and drops the oldest', async () => {
    const path = join(folder, 'log');
    await using file = DecisionFile.open({ path, maxBytes: 8, keep: 2, logger: nullLogger });
    for (let line = 1; line <= 7; line++) await file.append(`${line}xx\n`);
    expect((await readdir(folder)).sort()).toEqual(['log', 'log.1', 'log.2', 'log.claim']);
    expect(await Promise.all(['log.2', 'log.1', 'log'].map(read))).toEqual([
      '3xx\n4xx\n',
      '5xx\n6xx\n',
      '7xx\n',
    ]);
  });

  it('goes on where an earlier process stopped', async () => {
    const path = join(folder, 'log');
    const before = DecisionFile.open({ path, maxBytes: 8, logger: nullLogger });
    await before.append('old\n');
    await before.close();
    await using file = DecisionFile.open({ path, maxBytes: 8, logger: nullLogger });
    await file.append('new\n');
    expect(await read('log')).toBe('old\nnew\n');
    await file.append('next\n');
    expect(await read('log')).toBe('next\n');
  });

  it('begins a line of its own after one that was cut off', async () => {
    const path = join(folder, 'log');
    await writeFile(path, '{"a":1}\n{"b":');
    await using file = DecisionFile.open({ path, logger: nullLogger });
    await file.append('{"c":1}\n');
    expect(await read('log')).toBe('{"a":1}\n{"b":\n{"c":1}\n');
  });

  it('goes on after a write that failed, and says that it did', async () => {
    const path = join(folder, 'log');
    await using file = DecisionFile.open({ path, logger: nullLogger });
    await rm(path);
    await mkdir(path);
    expect(await file.append('lost\n')).toBe(false);
    await rm(path, { recursive: true });
    expect(await file.append('kept\n')).toBe(true);
    expect(await read('log')).toBe('kept\n');
  });
});
