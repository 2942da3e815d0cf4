import type { Discovery } from './discovery/discovery.ts';
import type { EventPlane } from './event-plane/event-plane.ts';
import type { RequestPlane } from './request-plane/request-plane.ts';

/** The three planes of a process. Whoever makes them closes them, after the runtimes that use them. */
export interface Planes extends AsyncDisposable {
  readonly discovery: Discovery;
  readonly requestPlane: RequestPlane;
  readonly events: EventPlane;
  /** Passed on to the runtimes on these planes. @default 5000 */
  readonly inhibitedMs?: number | undefined;
  /** Closes events, request plane, discovery, in this order. Idempotent. */
  close(): Promise<void>;
}

/** Joins three planes into one closable thing; `closeRest` closes what they share, after them. */
export function joinPlanes(
  planes: Omit<Planes, 'close' | typeof Symbol.asyncDispose>,
  closeRest: () => Promise<void> = () => Promise.resolve(),
): Planes {
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    closing ??= closeInOrder(planes).finally(closeRest);
    await closing;
  };
  return { ...planes, close, [Symbol.asyncDispose]: close };
}

async function closeInOrder(
  planes: Pick<Planes, 'discovery' | 'requestPlane' | 'events'>,
): Promise<void> {
  try {
    // Before the request plane, whose listener would wait for the event subscriptions that it carries.
    await planes.events.close();
  } finally {
    try {
      await planes.requestPlane.close();
    } finally {
      await planes.discovery.close();
    }
  }
}
