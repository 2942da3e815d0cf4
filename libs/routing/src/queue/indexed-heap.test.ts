import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { IndexedHeap } from './indexed-heap.ts';

interface Item {
  heapIndex: number;
  order: number;
  readonly id: number;
}

describe('IndexedHeap', () => {
  it('always has the first item on top, whatever was pushed, taken out and reordered', () => {
    const step = fc.record({
      kind: fc.constantFrom('push', 'push', 'remove', 'update', 'pop'),
      at: fc.nat(20),
      order: fc.integer({ min: 0, max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const compare = (a: Item, b: Item): number => a.order - b.order || a.id - b.id;
        const heap = new IndexedHeap<Item>(compare);
        let model: Item[] = [];
        for (const [id, { kind, at, order }] of steps.entries()) {
          const chosen = model[at % Math.max(1, model.length)];
          if (kind === 'push') {
            const item = { heapIndex: -1, order, id };
            heap.push(item);
            model.push(item);
          } else if (kind === 'update' && chosen !== undefined) {
            chosen.order = order;
            heap.update(chosen);
          } else if (kind !== 'update') {
            const gone = kind === 'pop' ? heap.peek() : chosen;
            if (gone !== undefined) heap.remove(gone);
            model = model.filter((each) => each !== gone);
          }
          expect(heap.size).toBe(model.length);
          expect(heap.peek()).toBe([...model].sort(compare)[0]);
        }
      }),
    );
  });

  it('ignores an item that is not in it', () => {
    const heap = new IndexedHeap<Item>((a, b) => a.order - b.order);
    const [inside, outside] = [0, 1].map((id) => ({ heapIndex: -1, order: id, id }));
    if (inside === undefined || outside === undefined) throw new Error('unreachable');
    heap.push(inside);
    heap.remove(outside);
    heap.remove({ ...inside });
    expect(heap.peek()).toBe(inside);
  });
});
