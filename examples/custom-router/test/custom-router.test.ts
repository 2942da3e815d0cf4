import { join } from 'node:path';

import { NodeProgram } from '@dynamo-ts/testing';
import { describe, expect, it } from 'vitest';

const MAIN = join(import.meta.dirname, '../src/main.ts');

describe('a router of one’s own', { timeout: 30_000 }, () => {
  it('keeps each family of prompts on the worker that has it in cache', async () => {
    await using program = NodeProgram.start(MAIN, { env: {} });
    expect(await program.exited, program.stderr).toBe(0);
    const turns = program.lines.filter((line) => line.startsWith('family'));
    const workerOf = (line = ''): string | undefined => /worker (\w+)/.exec(line)?.[1];
    expect(turns).toHaveLength(6);
    expect(new Set(turns.map(workerOf)).size).toBe(2);
    for (const family of [1, 2]) {
      const own = turns.filter((line) => line.startsWith(`family ${family}`));
      expect(new Set(own.map(workerOf)).size).toBe(1);
      expect(own[0]).toContain('engine had 0 of 704 tokens');
      for (const line of own.slice(1)) {
        expect(line).toContain('expected hit rate 0.91');
        expect(line).toContain('engine had 640 of 704 tokens');
      }
    }
  });
});
