import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { describe, expect, it } from 'vitest';

import { SELECTION_POLICIES, createSelectionSource, selectInstance } from './selection.ts';

const ids = [1n, 2n, 3n].map(asInstanceId);
const idle = (): number => 0;

describe('selectInstance', () => {
  it.each(SELECTION_POLICIES)(
    '%s gives undefined for nobody and the only one for one',
    (policy) => {
      const source = createSelectionSource();
      expect(selectInstance(policy, [], idle, source)).toBeUndefined();
      expect(selectInstance(policy, ids.slice(0, 1), idle, source)).toBe(1n);
    },
  );

  it.each(SELECTION_POLICIES)('%s spreads over all idle instances', (policy) => {
    const source = createSelectionSource();
    const counts = new Map<InstanceId | undefined, number>();
    for (let turn = 0; turn < 3000; turn++) {
      const id = selectInstance(policy, ids, idle, source);
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    for (const id of ids) expect(counts.get(id)).toBeGreaterThan(800);
  });

  it('round-robin goes in turn', () => {
    const source = createSelectionSource();
    const next = (): unknown => selectInstance('round-robin', ids, idle, source);
    expect([next(), next(), next(), next()]).toEqual([1n, 2n, 3n, 1n]);
  });

  it('power-of-two takes the less busy of two distinct ones, the first drawn on a tie', () => {
    const load = (id: InstanceId): number => Number(id);
    const drawn = [0.99, 0.5];
    const source = { nextTurn: () => 0, random: () => drawn.shift() ?? 0 };
    expect(selectInstance('power-of-two', ids, load, source)).toBe(2n);
    drawn.push(0.99, 0.5);
    expect(selectInstance('power-of-two', ids, idle, source)).toBe(3n);
  });

  it('least-loaded takes the least of all', () => {
    const load = (id: InstanceId): number => (id === 2n ? 1 : 5);
    expect(selectInstance('least-loaded', ids, load, createSelectionSource())).toBe(2n);
  });
});
