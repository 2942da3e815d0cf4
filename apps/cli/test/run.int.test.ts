import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { DYNAMO_START_TIMEOUT_MS, DynamoProcess } from '@dynamo-ts/testing';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dynamo-run-'));
});

afterAll(async () => rm(folder, { recursive: true }));

describe('dynamo run', { timeout: 2 * DYNAMO_START_TIMEOUT_MS }, () => {
  it('answers a file of prompts and ends', async () => {
    const path = join(folder, 'prompts.jsonl');
    await writeFile(path, '{"text":"one"}\n{"text":"two"}\n');
    await using run = new DynamoProcess(['run', `in=batch:${path}`, 'out=echo']);
    expect(await run.exit).toBe(0);
    await vi.waitFor(() => expect(run.out).toMatch(/^2 prompts in /));
    expect(run.err).toBe('');
    expect(await readFile(join(folder, 'output.jsonl'), 'utf8')).toMatch(
      /"text":"one".*\n.*"text":"two"/,
    );
  });

  it('serves until it is stopped', async () => {
    await using run = new DynamoProcess(['run', 'in=http', 'out=echo', '--http-port', '0']);
    await vi.waitFor(() => expect(run.err).toContain('Ctrl-C stops it'), DYNAMO_START_TIMEOUT_MS);
    const url = /serving at (\S+);/.exec(run.err)?.[1] ?? '';
    const health = await (await fetch(`${url}/health`)).text();
    expect(health).toContain('backend.generate');
    run.child.kill('SIGINT');
    expect(await run.exit).toBe(0);
  });

  it('stops also while it waits for a broker', async () => {
    const brokers = ['--etcd-endpoints=http://127.0.0.1:1', '--nats-server=nats://127.0.0.1:1'];
    await using run = new DynamoProcess(['run', 'in=none', 'out=echo', ...brokers]);
    const waits = () => expect(run.err).toMatch(/etcd .* trying again/);
    await vi.waitFor(waits, DYNAMO_START_TIMEOUT_MS);
    run.child.kill('SIGTERM');
    expect(await run.exit).toBe(0);
  });

  it.each([
    [['out=vllm'], 'there is no output "vllm"; there are mocker, echo'],
    [['in=grpc'], 'there is no input "grpc"; there are http, text'],
    [['in=none', 'out=dyn'], 'needs an engine of this process'],
    [['in=batch:'], 'batch:FILE.jsonl'],
    [['/nowhere/at/all', 'in=http'], '/nowhere/at/all'],
    [['in=stdin'], 'echo "Hello" | dynamo run in=stdin'],
  ])('says in one line what is wrong with %j', async (args, message) => {
    await using run = new DynamoProcess(['run', ...args, '--discovery-backend', 'mem']);
    expect(await run.exit).toBe(1);
    await vi.waitFor(() => expect(run.err).toContain(message));
    expect(run.err.trim().split('\n')).toHaveLength(1);
  });
});
