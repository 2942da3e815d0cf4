import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { nullLogger } from '@dynamo-ts/telemetry';
import type { LogFields, Logger } from '@dynamo-ts/telemetry';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { abandonedClaim, readClaim, takeOver } from './claim-file.ts';
import { DecisionFileClaim } from './decision-file-claim.ts';
import { ownMark } from './process-mark.ts';

const WRITER = fileURLToPath(new URL('./decision-file-writer.fixture.ts', import.meta.url));
const SLOW_MS = 30_000;

let folder = '';
let path = '';
const started: { readonly child: ChildProcess; readonly exit: Promise<unknown> }[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'decision-claims-'));
  path = join(folder, 'log.ndjson');
});

afterEach(async () => {
  for (const { child, exit } of started.splice(0)) {
    child.kill('SIGKILL');
    await exit;
  }
  await rm(folder, { recursive: true });
});

const take = (logger: Logger = nullLogger): DecisionFileClaim =>
  DecisionFileClaim.take({ path, logger });

const claimLeftBy = async (mark: object): Promise<void> =>
  writeFile(`${path}.claim`, JSON.stringify({ ...ownMark(), token: 'other', ...mark }));

describe('DecisionFileClaim', () => {
  it('gives the first file that nobody writes, and says whose the named one is', () => {
    const lines: [string, LogFields | undefined][] = [];
    const logger = {
      ...nullLogger,
      info: (message: string, fields?: LogFields) => void lines.push([message, fields]),
      warn: (message: string, fields?: LogFields) => void lines.push([message, fields]),
    };
    const claims = [take(logger), take(logger), take()];
    expect(claims.map((claim) => claim.path)).toEqual([
      path,
      join(folder, 'log-2.ndjson'),
      join(folder, 'log-3.ndjson'),
    ]);
    expect(lines[0]).toEqual(['decisions are written to a file', { path }]);
    expect(lines[1]?.[1]).toEqual({
      path: join(folder, 'log-2.ndjson'),
      named: path,
      writer_pid: process.pid,
      writer_host: hostname(),
    });
    claims[1]?.release();
    claims[1]?.release();
    const again = take();
    expect(again.path).toBe(join(folder, 'log-2.ndjson'));
    for (const claim of [...claims, again]) claim.release();
  });

  it('leaves nothing behind', async () => {
    take().release();
    expect(await readdir(folder)).toEqual([]);
  });

  it('takes over from a process that has ended, even if another has its id now', async () => {
    await claimLeftBy({ began: '1' });
    const claim = take();
    expect(claim.path).toBe(path);
    claim.release();
  });

  it('takes over once, however many have seen that it was abandoned', async () => {
    await claimLeftBy({ began: '1' });
    const seen = [abandonedClaim(path), abandonedClaim(path)];
    expect(seen).toEqual(['other', 'other']);
    const mine = { ...ownMark(), token: 'mine' };
    // While one is about to replace it, and when one has.
    await writeFile(`${path}.claim.other`, '');
    expect(takeOver(path, 'other', mine)).toBe(false);
    await rm(`${path}.claim.other`);
    expect(takeOver(path, 'other', mine)).toBe(true);
    expect(takeOver(path, 'other', { ...ownMark(), token: 'third' })).toBe(false);
    expect(readClaim(path)).toEqual(mine);
    expect(await readdir(folder)).toEqual(['log.ndjson.claim']);
  });

  it('takes over when a process has ended while it took over', async () => {
    await claimLeftBy({ began: '1' });
    await writeFile(`${path}.claim.other`, '');
    const before = new Date(Date.now() - 60_000);
    await utimes(`${path}.claim.other`, before, before);
    const first = take();
    const second = take();
    expect([first.path, second.path]).toEqual([join(folder, 'log-2.ndjson'), path]);
    for (const claim of [first, second]) claim.release();
  });

  it('takes over from another container when that has been silent', async () => {
    await claimLeftBy({ host: 'elsewhere' });
    const early = take();
    expect(early.path).toBe(join(folder, 'log-2.ndjson'));
    const before = new Date(Date.now() - 60_000);
    await utimes(`${path}.claim`, before, before);
    const late = take();
    expect(late.path).toBe(path);
    for (const claim of [early, late]) claim.release();
  });

  it('goes on in another file when its own has been taken over', async () => {
    const claim = take();
    await claimLeftBy({ host: 'elsewhere' });
    claim.verify();
    expect(claim.path).toBe(join(folder, 'log-2.ndjson'));
    claim.release();
    expect(await readdir(folder)).toEqual(['log.ndjson.claim']);
  });

  it('is not made for a device', () => {
    const claim = DecisionFileClaim.take({ path: '/dev/null', logger: nullLogger });
    expect(claim.path).toBe('/dev/null');
    claim.release();
  });
});

describe('two processes with one decision log', { timeout: 3 * SLOW_MS }, () => {
  function writer(name: string) {
    const child = spawn(process.execPath, ['--conditions=@dynamo-ts/source', WRITER, path, name], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const output = { text: '' };
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output.text += chunk));
    const exit = new Promise((resolve) => child.on('exit', resolve));
    started.push({ child, exit });
    const writes = async (): Promise<string> => {
      await vi.waitFor(() => expect(output.text).toContain('300 lines'), SLOW_MS);
      return output.text.split('\n', 1)[0] ?? '';
    };
    return { child, output, exit, writes };
  }

  /** Lines by who wrote them, over all files of a log, oldest first. */
  async function linesOf(file: string): Promise<readonly { name: string; count: number }[]> {
    const names = (await readdir(folder)).map((name) => join(folder, name));
    const full = names.filter((name) => name.startsWith(`${file}.`) && !name.endsWith('.claim'));
    const age = (name: string): number => Number(name.slice(file.length + 1));
    full.sort((one, other) => age(other) - age(one));
    const texts = await Promise.all([...full, file].map((name) => readFile(name, 'utf8')));
    return texts
      .join('')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string; count: number });
  }

  it('writes and rotates two files, each complete and by one process', async () => {
    const [one, other] = [writer('one'), writer('other')];
    const files = [await one.writes(), await other.writes()];
    expect([...files].sort()).toEqual([join(folder, 'log-2.ndjson'), path]);
    for (const { child, exit } of [one, other]) {
      child.kill('SIGTERM');
      expect(await exit).toBe(0);
    }
    for (const [index, { output }] of [one, other].entries()) {
      const lines = await linesOf(files[index] ?? '');
      const count = Number(/all (\d+)/.exec(output.text)?.[1]);
      expect(lines.map((line) => line.count)).toEqual(Array.from({ length: count }, (_, n) => n));
      expect(new Set(lines.map(({ name }) => name)).size).toBe(1);
    }
    expect((await readdir(folder)).filter((name) => name.endsWith('.claim'))).toEqual([]);
  });

  it('gives the file of a process that was killed to one of those that start at once', async () => {
    await claimLeftBy({ began: '1' });
    const writers = ['one', 'two', 'three'].map((name) => writer(name));
    const files = await Promise.all(writers.map((each) => each.writes()));
    expect(new Set(files).size).toBe(3);
    expect(files).toContain(path);
  });

  it('gives the file of a process that was killed to the next one', async () => {
    const killed = writer('killed');
    expect(await killed.writes()).toBe(path);
    killed.child.kill('SIGKILL');
    await killed.exit;
    expect(await readdir(folder)).toContain('log.ndjson.claim');
    expect(await writer('next').writes()).toBe(path);
  });
});
