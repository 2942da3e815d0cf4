import { expect, it } from 'vitest';

import { StuckRequests } from './stuck-requests.ts';
import type { OwedRequest } from './stuck-requests.ts';

const giveUp = (): void => undefined;

it('names what has been silent for longer than its kind may', () => {
  const requests = new StuckRequests({ stallMs: 1000, firstTokenMs: 3000 });
  const fresh: OwedRequest = { begun: false, writes: 0, giveUp };
  const silent: OwedRequest = { begun: true, writes: 4, giveUp };
  const flowing = { begun: true, writes: 1, giveUp };
  const look = (nowMs: number) => {
    flowing.writes += 1;
    return requests.look([fresh, silent, flowing], nowMs);
  };
  expect(look(0)).toEqual([]);
  expect(look(900)).toEqual([]);
  expect(look(1000)).toEqual([{ request: silent, silentMs: 1000 }]);
  expect(look(3000).map(({ request }) => request)).toEqual([fresh, silent]);
});

it('begins anew for a request whose caller did not read for a while', () => {
  const requests = new StuckRequests({ stallMs: 1000, firstTokenMs: 0 });
  const request: OwedRequest = { begun: true, writes: 1, giveUp };
  requests.look([request], 0);
  requests.look([], 900);
  expect(requests.look([request], 1800)).toEqual([]);
  expect(requests.look([request], 2800)).toHaveLength(1);
});

it('without limits nothing is stuck', () => {
  const requests = new StuckRequests({ stallMs: 0, firstTokenMs: 0 });
  const request: OwedRequest = { begun: false, writes: 0, giveUp };
  requests.look([request], 0);
  expect(requests.look([request], 1e9)).toEqual([]);
});
