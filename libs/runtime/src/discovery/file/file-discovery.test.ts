import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { eventually } from '@dynamo-ts/testing';
import { nullLogger } from '@dynamo-ts/telemetry';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { WatchRecorder, describeDiscoveryContract, encode, listed } from '../discovery.contract.ts';
import { FileDiscovery } from './file-discovery.ts';
import { recordPath } from './file-names.ts';

const TTL_MS = 2000;

function open(rootPath: string, ttlMs = TTL_MS): FileDiscovery {
  return new FileDiscovery({ rootPath, ttlMs, heartbeatMs: 200, logger: nullLogger });
}

async function makeRoot(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'dynamo-file-discovery-'));
}

describeDiscoveryContract('file discovery', async () => {
  const rootPath = await makeRoot();
  return {
    connect: () => open(rootPath),
    corrupt: async (key, value) => {
      const path = recordPath(rootPath, key);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, value);
    },
    [Symbol.asyncDispose]: () => rm(rootPath, { recursive: true, force: true }),
  };
});

describe('FileDiscovery', () => {
  const KEY = 'v1/instances/dynamo/backend/generate/1f';
  let rootPath: string;
  beforeEach(async () => {
    rootPath = await makeRoot();
  });
  afterEach(async () => {
    await rm(rootPath, { recursive: true, force: true });
  });

  it('lays records out as bucket directories with percent-encoded names', async () => {
    await using discovery = open(rootPath);
    await discovery.register({ key: KEY, value: encode(1) });
    expect(await readdir(join(rootPath, 'v1/instances'))).toEqual([
      'dynamo%2Fbackend%2Fgenerate%2F1f',
    ]);
  });

  it('forgets a crashed process after the TTL, not before, and removes its file', async () => {
    await using reader = open(rootPath);
    const crashing = open(rootPath);
    await crashing.register({ key: KEY, value: encode(1) });
    const recorder = new WatchRecorder(reader, 'v1/instances/');
    await recorder.reaches({ [KEY]: 1 });
    const crashedAtMs = performance.now();
    await crashing.abandon();
    await recorder.reaches({});
    expect(performance.now() - crashedAtMs).toBeGreaterThan(TTL_MS - 500);
    expect(await readdir(join(rootPath, 'v1/instances'))).toEqual([]);
    await recorder.stop();
  });

  it('keeps its records while its event loop is busy for longer than the TTL', async () => {
    await using writer = open(rootPath, 1000);
    await using reader = open(rootPath, 1000);
    await writer.register({ key: KEY, value: encode(1) });
    const busyUntilMs = performance.now() + 3000;
    while (performance.now() < busyUntilMs);
    expect(await reader.list('v1/instances/')).toHaveLength(1);
  });

  it('puts a record back that someone else removed', async () => {
    await using writer = open(rootPath);
    await using reader = open(rootPath);
    await writer.register({ key: KEY, value: encode(1) });
    const recorder = new WatchRecorder(reader, 'v1/instances/');
    await recorder.reaches({ [KEY]: 1 });
    await rm(rootPath, { recursive: true, force: true, maxRetries: 10 });
    await eventually(() => recorder.events.some((event) => event.kind === 'delete'));
    await recorder.reaches({ [KEY]: 1 });
    await recorder.stop();
  });

  it('sweeps what dead processes left before it started, half-written files included', async () => {
    const folder = join(rootPath, 'v1/instances');
    await mkdir(folder, { recursive: true });
    const longAgo = new Date(Date.now() - 60_000);
    for (const name of ['.tmp_0011223344556677', 'a%2Fb', 'half']) {
      await writeFile(join(folder, name), name === 'half' ? '{' : '{}');
      await utimes(join(folder, name), longAgo, longAgo);
    }
    await using reader = open(rootPath);
    const recorder = new WatchRecorder(reader, 'v1/instances/');
    await eventually(() => recorder.isReady);
    expect(recorder.events).toEqual([{ kind: 'ready' }]);
    expect(await readdir(folder)).toEqual([]);
    await recorder.stop();
  });

  it('reports every record although one file cannot be read', async () => {
    const folder = join(rootPath, 'v1/instances');
    await mkdir(folder, { recursive: true });
    await symlink('loop', join(folder, 'loop'));
    await writeFile(join(folder, 'a'), '{"a":1}');
    await using reader = open(rootPath);
    const recorder = new WatchRecorder(reader, 'v1/instances/');
    await eventually(() => recorder.isReady);
    expect(recorder.events.map(({ kind }) => kind)).toEqual(['put', 'ready']);
    expect(await reader.list('v1/instances/')).toHaveLength(1);
    await recorder.stop();
  });

  it('does not remove a record that another process has taken over', async () => {
    await using first = open(rootPath);
    await using second = open(rootPath);
    const old = await first.register({ key: KEY, value: encode('first') });
    await second.register({ key: KEY, value: encode('second') });
    await old.close();
    expect(await listed(second, 'v1/instances/')).toEqual({ [KEY]: 'second' });
  });

  it('waits for a directory that cannot be written yet, and gives up when aborted', async () => {
    const blocked = join(rootPath, 'blocked');
    await writeFile(blocked, 'a file where the directory should be');
    await using discovery = open(blocked);
    const signal = AbortSignal.timeout(300);
    await expect(
      discovery.register({ key: KEY, value: encode(1) }, { signal }),
    ).rejects.toMatchObject({ code: 'request.deadline_exceeded' });
    expect(discovery.state).toBe('disconnected');
    await rm(blocked);
    await discovery.register({ key: KEY, value: encode(1) });
    expect(discovery.state).toBe('connected');
  });

  it('refuses keys without a bucket and names that the file system cannot hold', async () => {
    await using discovery = open(rootPath);
    const invalid = { code: 'config.invalid' };
    await expect(discovery.list('v1')).rejects.toMatchObject(invalid);
    const key = `v1/instances/${'x'.repeat(300)}`;
    await expect(discovery.register({ key, value: encode(1) })).rejects.toMatchObject(invalid);
  });
});
