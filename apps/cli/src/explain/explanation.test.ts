import { Decision } from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import { costDifference, explainDecision } from './explanation.ts';
import { renderExplanation } from './render-explanation.ts';

const SETTINGS = {
  policy: 'linear',
  overlapScoreCredit: 1,
  prefillLoadScale: 1,
  displacementWeight: 1,
  trackPrefillTokens: true,
};

interface Fields {
  readonly workerId: bigint;
  readonly deviceBlocks?: number;
  readonly adjustedPrefillBlocks?: number;
  readonly potentialDecodeBlocks?: number;
  readonly displacementBlocks?: number;
  readonly activeRequests?: number;
  readonly cost?: number;
  readonly rejection?: string;
  readonly taintFactor?: number;
}

/** The example of the reference: costs 18, 10 and 11. */
const CANDIDATES: readonly Fields[] = [
  { workerId: 1n, deviceBlocks: 2, adjustedPrefillBlocks: 8, potentialDecodeBlocks: 10, cost: 18 },
  { workerId: 2n, deviceBlocks: 5, adjustedPrefillBlocks: 5, potentialDecodeBlocks: 5, cost: 10 },
  { workerId: 3n, deviceBlocks: 8, adjustedPrefillBlocks: 2, potentialDecodeBlocks: 9, cost: 11 },
];

function decisionOf(
  candidates: readonly Fields[] = CANDIDATES,
  fields: Parameters<typeof Decision.fromPartial>[0] = {},
): Decision {
  return Decision.fromPartial({
    decisionId: 'ab-1',
    requestId: 'r',
    endpoint: 'dynamo.backend.generate',
    timestampMs: 0,
    mode: 'kv',
    islTokens: 160,
    blockSize: 16,
    settings: SETTINGS,
    candidates: candidates.map((each) => ({ taintFactor: 1, ...each })),
    chosen: 1,
    reason: 'lowest_cost',
    predictedCachedTokens: 80,
    ...fields,
  });
}

describe('explainDecision', () => {
  it('takes costs apart and sorts the others', () => {
    const { chosen, runnerUp, others } = explainDecision(decisionOf());
    expect(chosen?.candidate.workerId).toBe(2n);
    expect(others.map(({ candidate }) => candidate.workerId)).toEqual([3n, 1n]);
    if (chosen === undefined || runnerUp === undefined) throw new Error('no runner-up');
    expect(costDifference(chosen, runnerUp)).toEqual([
      { name: 'load', cost: 4 },
      { name: 'prompt to compute', cost: -3 },
    ]);
  });

  it.each([
    ['linear', { ...SETTINGS, decodeActiveRequestWeight: 2 }, 4 + 6 + 2 * 3 + 1.5],
    ['lmetric', { ...SETTINGS, policy: 'lmetric' }, 4 * 7 + 1.5],
  ])('gives terms that sum up to the cost (%s)', (_name, settings, sum) => {
    const cost = sum * 0.5;
    const parts = { adjustedPrefillBlocks: 4, potentialDecodeBlocks: 6, activeRequests: 3 };
    const candidate = { workerId: 1n, ...parts, displacementBlocks: 1.5, cost, taintFactor: 0.5 };
    const { chosen } = explainDecision(decisionOf([candidate], { settings, chosen: 0 }));
    const terms = chosen?.terms ?? [];
    expect(terms.reduce((total, term) => total + term.cost, 0)).toBeCloseTo(cost);
    expect(terms.find(({ name }) => name === 'taints')?.cost).toBeCloseTo(-sum / 2);
  });

  it('leaves out who could not be chosen', () => {
    const full = { workerId: 4n, cost: 0, rejection: 'overloaded' };
    const { others, rejected } = explainDecision(decisionOf([...CANDIDATES, full]));
    expect(others).toHaveLength(2);
    expect(rejected.map(({ workerId }) => workerId)).toEqual([4n]);
  });
});

describe('renderExplanation', () => {
  const textOf = (decision: Decision): string => renderExplanation(explainDecision(decision));

  it('is a table that a person can read', () => {
    const full = { workerId: 0xffn, rejection: 'overloaded' };
    const text = textOf(
      decisionOf([...CANDIDATES, full], {
        outcome: { kind: 'completed', cachedTokens: 80, outputTokens: 9, ttftMs: 12.34, itlMs: 5 },
      }),
    );
    expect(text).toMatchInlineSnapshot(`
      "decision ab-1  1970-01-01T00:00:00.000Z  kv over 4 candidates of dynamo.backend.generate
      request  r  160 prompt tokens = 10 blocks of 16

         worker            rank  holds  to compute  load  evicts  requests  cost
      →  0000000000000002     0   5/10         5.0   5.0     0.0         0  10.0  chosen
         0000000000000003     0   8/10         2.0   9.0     0.0         0  11.0    +1.0
         0000000000000001     0   2/10         8.0  10.0     0.0         0  18.0    +8.0
         could not be chosen (overloaded): 00000000000000ff/0

      why: worker 0000000000000002, because it costs least
           the next best, 0000000000000003, costs 1.0 blocks of work more:
            +4.0  load               9.0 blocks in use with this request, not 5.0
            −3.0  prompt to compute  holds 8 of the prompt's blocks, not 5

      predicted: 80 cached tokens; the engine found 80
      outcome: completed, 9 tokens out, first after 12.3 ms, then one every 5.0 ms

      weights: overlap credit 1, prefill scale 1, displacement 1, open request 0, temperature 0
      queue: 0.0 ms; index at batch 0
      "
    `);
  });

  it('says so when another was cheaper, when there was no other, and when the answer runs', () => {
    expect(textOf(decisionOf(CANDIDATES, { chosen: 0, reason: 'pinned' }))).toMatch(
      /the request named this worker\n +the next best, 0+2, would cost 8\.0 less/,
    );
    const alone = textOf(decisionOf(CANDIDATES.slice(0, 1), { chosen: 0, reason: 'only' }));
    expect(alone).toContain('no other worker could be chosen');
    expect(alone).toContain('the answer has not ended yet');
  });

  it('shows a dozen of a thousand candidates', () => {
    const many = Array.from({ length: 1000 }, (_, index) => ({
      workerId: BigInt(index),
      cost: index,
    }));
    const text = textOf(decisionOf(many));
    expect(text).toContain('and 988 more that cost more');
    expect(text.split('\n').length).toBeLessThan(35);
  });

  it('needs no costs: modes that do not compare blocks are told in words', () => {
    const text = textOf(decisionOf(CANDIDATES, { mode: 'round-robin', reason: 'round_robin' }));
    expect(text).toContain('because it was its turn');
    expect(text).toMatch(/^→ +0+2 +0 +5\/10 +– +5\.0 +0\.0 +0 +– +chosen *$/m);
    expect(text).not.toContain('the next best');
  });

  it('says of two that were drawn what is certain', () => {
    const drawn = (requests: readonly number[]): string =>
      textOf(
        decisionOf(
          requests.map((activeRequests, index) => ({ workerId: BigInt(index), activeRequests })),
          { mode: 'power-of-two', reason: 'power_of_two' },
        ),
      );
    expect(drawn([3, 3, 1])).toContain('because drawn among two, both with 3 open requests');
    expect(drawn([3, 2, 1])).toContain('because it has no more open requests than a second one');
  });
});
