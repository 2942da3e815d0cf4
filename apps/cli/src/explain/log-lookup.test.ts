import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Decision } from '@dynamo-ts/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { DecisionReader } from '../decision-reader.ts';
import { readDecisions } from './log-lookup.ts';

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dynamo-explain-test-'));
});

afterAll(async () => rm(folder, { recursive: true, force: true }));

const lineOf = (decisionId: string, timestampMs: number, requestId = 'r/b-1'): string =>
  JSON.stringify(
    Decision.toJSON(
      Decision.fromPartial({ decisionId, requestId, timestampMs, blockSize: 16, settings: {} }),
    ),
  );

async function logOf(name: string, ...lines: readonly string[]): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, lines.join('\n'));
  return path;
}

async function lookUp(
  paths: readonly string[],
  query: Parameters<typeof readDecisions>[1],
): Promise<{ ids: readonly string[]; problem: string; complaint: string | undefined }> {
  const reader = new DecisionReader(paths);
  const { decisions, problem } = await readDecisions(reader, query);
  return {
    ids: decisions.map(({ decisionId }) => decisionId),
    problem: problem?.message ?? '',
    complaint: reader.complaint,
  };
}

describe('readDecisions', () => {
  it('gives the last one before a line that a killed process has torn', async () => {
    const path = await logOf(
      'torn',
      lineOf('a-1', 1),
      lineOf('a-2', 2),
      '{"decision_id":"a-3","re',
    );
    const { ids, complaint } = await lookUp([path], { kind: 'last' });
    expect(ids).toEqual(['a-2']);
    expect(complaint).toMatch(/^1 of 3 lines unreadable, first at .*torn:3: /);
  });

  it('gives the newest of several logs', async () => {
    const one = await logOf('one', lineOf('a-1', 1), lineOf('a-2', 5));
    const other = await logOf('other', lineOf('b-1', 2), lineOf('b-2', 3));
    expect((await lookUp([one, other], { kind: 'last' })).ids).toEqual(['a-2']);
    expect((await lookUp([one, other], { kind: 'ids', ids: ['b-1', 'a-1'] })).ids).toEqual([
      'b-1',
      'a-1',
    ]);
  });

  it('says which ids are not there, and shows the others', async () => {
    const path = await logOf('some', lineOf('a-1', 1));
    const found = await lookUp([path], { kind: 'ids', ids: ['a-1', 'a-9', 'b-1'] });
    expect(found.ids).toEqual(['a-1']);
    expect(found.problem).toMatch(/some holds no decision a-9, b-1;/);
  });

  it('points at the line when the one that is asked for is torn', async () => {
    const path = await logOf('mark', lineOf('a-1', 1), '{"decision_id":"a-22","re');
    const { problem, complaint } = await lookUp([path], { kind: 'ids', ids: ['a-22'] });
    expect(problem).toMatch(/holds no decision a-22$/);
    expect(complaint).toMatch(/^1 of 2 lines unreadable, first at .*mark:2: /);
  });

  it('gives all of a request in their order: choices and moves, but not those of another', async () => {
    const path = await logOf(
      'request',
      lineOf('a-3', 3, 'r-1/b-3'),
      lineOf('a-1', 1, 'r-0/b-1'),
      lineOf('a-2', 2, 'r-0/b-2'),
      lineOf('a-4', 4, 'r-x/b-4'),
      lineOf('a-5', 5, 'rr/b-5'),
      lineOf('a-6', 6, 'x/r-0'),
    );
    const found = await lookUp([path], { kind: 'request', requestId: 'r' });
    expect(found.ids).toEqual(['a-1', 'a-2', 'a-3']);
    expect((await lookUp([path], { kind: 'request', requestId: 'rr' })).ids).toEqual(['a-5']);
    const none = await lookUp([path], { kind: 'request', requestId: 'q' });
    expect(none.problem).toContain('no decision of request q');
  });

  it('says that a log without a readable line holds none', async () => {
    const path = await logOf('none', 'hello', '{}');
    const { problem, complaint } = await lookUp([path], { kind: 'last' });
    expect(problem).toContain('none holds no decision');
    expect(complaint).toMatch(/^2 of 2 lines unreadable/);
  });
});
