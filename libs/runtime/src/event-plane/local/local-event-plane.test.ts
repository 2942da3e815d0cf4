import { describeEventPlaneContract } from '../event-plane.contract.ts';
import type { EventPlane } from '../event-plane.ts';
import { LocalEventPlane } from './local-event-plane.ts';

describeEventPlaneContract('local event plane', async () => {
  // All runtimes of a process share one plane.
  let shared: EventPlane | undefined;
  return {
    connect: (setup) => (shared ??= new LocalEventPlane(setup)),
    reset: () => {
      shared = undefined;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
});
