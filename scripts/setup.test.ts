/** Set-up and start in a folder of their own, with an npm and a cargo that only write down that they ran. */
import { spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe('set-up of a checkout', { timeout: 60_000 }, () => {
  let root = '';

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'dynamo-setup-'));
    for (const name of ['setup.mjs', 'setup-progress.mjs', 'start.mjs']) {
      cpSync(join(import.meta.dirname, name), join(root, 'scripts', name));
    }
    write('package-lock.json', '{"packages":{}}');
    write('native/Cargo.toml', '[workspace]');
    write('native/node/src/lib.rs', '// 1');
    fake('npm', 'exit 0');
    fake(
      'cargo',
      '/bin/mkdir -p native/target/release; echo so > native/target/release/libdynamo_native.so',
    );
  });

  afterEach(() => {
    rmSync(root, { recursive: true, force: true });
  });

  function write(name: string, text: string): void {
    mkdirSync(join(root, name, '..'), { recursive: true });
    writeFileSync(join(root, name), text);
  }

  /** A program that notes its name and then does as told. */
  function fake(name: string, script: string): void {
    write(`bin/${name}`, `#!/bin/sh\necho ${name} >> calls\n${script}\n`);
    chmodSync(join(root, 'bin', name), 0o755);
  }

  const calls = (): string[] =>
    existsSync(join(root, 'calls'))
      ? readFileSync(join(root, 'calls'), 'utf8').trim().split('\n')
      : [];

  const start = (script: string, ...args: readonly string[]) => startWith({}, script, ...args);

  function startWith(
    env: Readonly<Record<string, string>>,
    script: string,
    ...args: readonly string[]
  ) {
    const child = spawn(process.execPath, [join(root, 'scripts', script), ...args], {
      cwd: root,
      env: { PATH: join(root, 'bin'), HOME: root, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output.stdout += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (output.stderr += chunk));
    const ended = new Promise<Run>((resolve) => {
      child.on('close', (code) => {
        resolve({ code, ...output });
      });
    });
    return { child, output, ended };
  }
  const setUp = (): Promise<Run> => start('setup.mjs').ended;

  it('installs and builds once, and again only what has changed', async () => {
    expect(await setUp()).toMatchObject({ code: 0 });
    expect(calls().sort()).toEqual(['cargo', 'npm']);
    expect(await setUp()).toMatchObject({ code: 0, stderr: '' });
    expect(calls()).toHaveLength(2);
    write('native/node/src/lib.rs', '// 2');
    await setUp();
    expect(calls().slice(2)).toEqual(['cargo']);
    write('package-lock.json', '{"packages":{"node_modules/new":{"version":"1.0.0"}}}');
    await setUp();
    expect(calls().slice(3)).toEqual(['npm']);
    write('native/target/other.rs', '// not a source');
    await setUp();
    expect(calls()).toHaveLength(4);
  });

  it('says in one line that Rust is missing', async () => {
    rmSync(join(root, 'bin/cargo'));
    const { code, stderr } = await setUp();
    expect(code).toBe(1);
    expect(stderr.trim().split('\n')).toEqual([expect.stringContaining('https://rustup.rs')]);
    expect(calls()).toEqual([]);
  });

  it('says in one line that the checkout cannot be written', async () => {
    write('.setup', 'a file where a folder is made');
    const { code, stderr } = await setUp();
    expect(code).toBe(1);
    expect(stderr.trim().split('\n')).toEqual([expect.stringContaining('must be writable')]);
  });

  it('shows what npm said when it fails, and tries again the next time', async () => {
    fake('npm', 'echo "no such package" >&2; exit 7');
    const { code, stderr } = await setUp();
    expect(code).toBe(1);
    expect(stderr).toContain('no such package');
    expect(stderr).toContain('failed: npm install');
    fake('npm', 'exit 0');
    expect((await setUp()).code).toBe(0);
    expect(calls().filter((name) => name === 'npm')).toHaveLength(2);
  });

  it('does not wait for the addon to say that npm has failed', async () => {
    fake(
      'npm',
      'while ! /bin/grep -q cargo calls; do /bin/sleep 0.1; done; echo "no network" >&2; exit 7',
    );
    fake('cargo', 'trap "echo ended >> calls; exit 1" TERM; while :; do /bin/sleep 0.1; done');
    const { code, stderr } = await setUp();
    expect(code).toBe(1);
    expect(stderr).toContain('no network');
    expect(calls()).toContain('ended');
    expect(existsSync(join(root, '.setup/lock'))).toBe(false);
  });

  it('works once when two begin together', async () => {
    fake('npm', '/bin/sleep 1');
    const runs = [start('setup.mjs'), start('setup.mjs')];
    const results = await Promise.all(runs.map(({ ended }) => ended));
    expect(results.map(({ code }) => code)).toEqual([0, 0]);
    expect(results.filter(({ stderr }) => stderr.includes('waiting for it'))).toHaveLength(1);
    expect(calls().sort()).toEqual(['cargo', 'npm']);
  });

  it('takes over the lock of a process that is gone', async () => {
    const { child, ended } = start('setup.mjs');
    await ended;
    write('.setup/lock', String(child.pid));
    write('native/node/src/lib.rs', '// 3');
    expect((await setUp()).code).toBe(0);
    expect(existsSync(join(root, '.setup/lock'))).toBe(false);
  });

  it('ends npm and frees the checkout at Ctrl-C', async () => {
    fake('npm', 'trap "echo ended >> calls; exit 1" INT; while :; do /bin/sleep 0.1; done');
    const { child, ended } = start('setup.mjs');
    await vi.waitFor(() => expect(calls()).toContain('npm'), 10_000);
    child.kill('SIGINT');
    expect((await ended).code).toBe(130);
    expect(calls()).toContain('ended');
    expect(existsSync(join(root, '.setup/lock'))).toBe(false);
  });

  it('says in one line that npm has kept a flag for itself', async () => {
    const env = { npm_config_speedup_ratio: '20' };
    const { code, stderr } = await startWith(env, 'start.mjs').ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^npm has kept --speedup-ratio .* npm start -- --speedup-ratio …\n$/);
    expect(calls()).toEqual([]);
  });

  it('runs dynamo up on the packaged Node with the flags, and ends as it does', async () => {
    write('node_modules/.bin/node', '#!/bin/sh\necho "$@"\nexit 42\n');
    chmodSync(join(root, 'node_modules/.bin/node'), 0o755);
    const { code, stdout } = await start('start.mjs', '--workers', '4').ended;
    expect(code).toBe(42);
    expect(stdout).toMatch(/^--conditions=@dynamo-ts\/source \S+dynamo\.js up --workers 4$/m);
  });
});
