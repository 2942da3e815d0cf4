import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

import { nullLogger } from '@dynamo-ts/telemetry';
import type { Logger } from '@dynamo-ts/telemetry';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { parseEngineCommand } from './engine-command.ts';
import { EngineProcess } from './engine-process.ts';

const NODE = { program: process.execPath, args: [] };
const opened: EngineProcess[] = [];

async function start(script: string, logger: Logger = nullLogger): Promise<EngineProcess> {
  const engine = await EngineProcess.spawn({
    command: NODE,
    args: ['-e', script],
    logger,
    stopTimeoutMs: 300,
  });
  opened.push(engine);
  return engine;
}

/** Whether the process runs; one that has ended and waits to be reaped does not. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** A logger that keeps the messages. */
function recorder(): { lines: string[]; logger: Logger } {
  const lines: string[] = [];
  return { lines, logger: { ...nullLogger, info: (message) => void lines.push(message) } };
}

describe('EngineProcess', () => {
  afterEach(async () => {
    for (const engine of opened.splice(0)) await engine.close();
  });

  it('relays the lines of the engine and reports its status and last words', async () => {
    const { lines, logger } = recorder();
    const engine = await start(
      'console.log("one"); console.error("two"); process.exitCode = 3',
      logger,
    );
    const exit = await engine.exited;
    expect(exit.status).toBe(3);
    await vi.waitFor(() => expect(lines.toSorted()).toEqual(['one', 'two']));
    expect(exit.lastLines.toSorted()).toEqual(['one', 'two']);
  });

  it('keeps the level that the engine wrote', async () => {
    const { lines, logger } = recorder();
    await start(
      'console.log("0.1 I srv  a\\n0.2 W srv  b\\n0.3 E srv  c\\nWARNING 11-21 d\\n[ERROR] e")',
      {
        ...logger,
        warn: (message) => void lines.push(`warn ${message}`),
        error: (message) => void lines.push(`error ${message}`),
      },
    );
    await vi.waitFor(() =>
      expect(lines).toEqual([
        '0.1 I srv  a',
        'warn 0.2 W srv  b',
        'error 0.3 E srv  c',
        'warn WARNING 11-21 d',
        'error [ERROR] e',
      ]),
    );
  });

  it('lets the engine stop by itself on close', async () => {
    const { lines, logger } = recorder();
    const engine = await start(
      'process.on("SIGTERM", () => { console.log("bye"); process.exit(0) }); console.log("up"); setInterval(() => {}, 1000)',
      logger,
    );
    await vi.waitFor(() => expect(lines).toContain('up'));
    await engine.close();
    expect((await engine.exited).status).toBe(0);
    await vi.waitFor(() => expect(lines).toContain('bye'));
  });

  it('ends an engine that ignores SIGTERM, and what it started', async () => {
    const { lines, logger } = recorder();
    const engine = await start(
      `process.on("SIGTERM", () => {});
       const child = require("child_process").spawn(process.execPath, ["-e", 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)']);
       console.log(process.pid + " " + child.pid); setInterval(() => {}, 1000)`,
      logger,
    );
    await vi.waitFor(() => expect(lines).toHaveLength(1));
    const pids = lines[0]!.split(' ').map(Number);
    expect(pids.map(isAlive)).toEqual([true, true]);
    await engine.close();
    await vi.waitFor(() => expect(pids.map(isAlive)).toEqual([false, false]));
  });

  it('reports an engine that is killed', async () => {
    const { lines, logger } = recorder();
    const engine = await start('console.log(process.pid); setInterval(() => {}, 1000)', logger);
    await vi.waitFor(() => expect(lines).toHaveLength(1));
    process.kill(Number(lines[0]), 'SIGKILL');
    expect((await engine.exited).status).toBe(137);
  });

  it('leaves no engine behind when the shim itself is killed', async () => {
    const script = `
      import { EngineProcess } from ${JSON.stringify(new URL('./engine-process.ts', import.meta.url).href)};
      const logger = { info: (line) => console.log(line) };
      await EngineProcess.spawn({ logger, args: [], command: { program: process.execPath, args: ['-e',
        'process.on("SIGTERM", () => {}); console.log(process.pid); setInterval(() => {}, 1000)'] } });`;
    const shim = spawn(
      process.execPath,
      ['--conditions=@dynamo-ts/source', '--input-type=module', '-e', script],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [line] = (await once(shim.stdout, 'data')) as [Buffer];
    const enginePid = Number(line.toString());
    expect(isAlive(enginePid)).toBe(true);
    shim.kill('SIGKILL');
    await vi.waitFor(() => expect(isAlive(enginePid)).toBe(false), { timeout: 10_000 });
  }, 20_000);
});

describe('parseEngineCommand', () => {
  it('names both flags when the program is missing', () => {
    expect(() => parseEngineCommand('no-such-engine', '/usr/bin:/bin')).toThrow(
      /"no-such-engine" was not found; .*--engine-command.*--engine-url/,
    );
  });

  it('finds programs on the search path and splits off arguments', () => {
    expect(parseEngineCommand('sh -c true', '/usr/bin:/bin').args).toEqual(['-c', 'true']);
    expect(parseEngineCommand(process.execPath, '')).toEqual(NODE);
  });
});
