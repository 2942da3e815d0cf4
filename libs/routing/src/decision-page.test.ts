import { Decision } from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import { decisionPage } from './decision-page.ts';
import type { DecisionSource } from './decision-page.ts';

const decisionOf = (decisionId: string, timestampMs: number): Decision =>
  Decision.fromPartial({ decisionId, timestampMs, routerId: 2n ** 64n - 1n });

const sourceOf = (...decisions: readonly Decision[]): DecisionSource => ({
  decision: (id) => decisions.find(({ decisionId }) => decisionId === id),
  recentDecisions: async (limit) => Promise.resolve(decisions.slice(0, limit)),
});

const SOURCES = [
  sourceOf(decisionOf('a-3', 3), decisionOf('a-1', 1)),
  sourceOf(decisionOf('b-2', 2)),
];

const idsOf = async (url: string): Promise<unknown> => {
  const page = await decisionPage(SOURCES, url);
  const body = JSON.parse(page?.json ?? '{}') as { decisions: { decision_id: string }[] };
  return body.decisions.map(({ decision_id: id }) => id);
};

describe('decisionPage', () => {
  it('lists the newest of all sources', async () => {
    expect(await idsOf('/debug/decisions')).toEqual(['a-3', 'b-2', 'a-1']);
    expect(await idsOf('/debug/decisions?limit=2')).toEqual(['a-3', 'b-2']);
  });

  it('gives one, whoever has it', async () => {
    const page = await decisionPage(SOURCES, '/debug/decisions/b-2');
    expect(page?.status).toBe(200);
    expect(JSON.parse(page?.json ?? '')).toMatchObject({
      decision_id: 'b-2',
      router_id: '18446744073709551615',
    });
  });

  it.each([
    ['/debug/decisions/c-1', 404],
    ['/debug/decisions/', 404],
    ['/debug/decisions?limit=0', 400],
    ['/debug/decisions?limit=x', 400],
    ['/debug/decisions?limit=1001', 400],
    ['/debug', undefined],
    ['/debug/decisionss', undefined],
  ])('answers %s with %s', async (url, status) => {
    expect((await decisionPage(SOURCES, url))?.status).toBe(status);
  });
});
