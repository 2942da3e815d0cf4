/** What every request plane must do, run against each backend by the test file beside it. */
import { afterEach, describe } from 'vitest';

import { describeControl } from './contract/control.contract.ts';
import { describeFaults } from './contract/faults.contract.ts';
import { PlaneBed } from './contract/plane-bed.ts';
import type { PlanePair } from './contract/plane-bed.ts';
import { describeItems } from './contract/streams.contract.ts';

/** Registers the suite for one backend. */
export function requestPlaneContract(name: string, create: () => Promise<PlanePair>): void {
  describe(`request plane contract: ${name}`, () => {
    const bed = new PlaneBed(create);
    afterEach(() => bed.close());
    describeItems(bed);
    describeControl(bed);
    describeFaults(bed);
  });
}
