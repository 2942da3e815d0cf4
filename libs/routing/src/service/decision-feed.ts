import { BoundedQueue, onAbort } from '@dynamo-ts/base';
import type { Decision } from '@dynamo-ts/protocol';

import type { RoutedEndpoints } from './routed-endpoints.ts';

/** Which decisions a subscriber wants. */
export interface DecisionFeedOptions {
  /** All endpoints, also later ones, when empty. */
  readonly endpoint: string;
  /** When they are made instead of when their request has ended. */
  readonly immediately: boolean;
  /** Ends the feed. */
  readonly signal: AbortSignal;
}

/** Decisions that wait for one slow subscriber; older ones go. */
const MOST_WAITING = 1024;

/** Decisions of a service's routers from now on. */
export async function* decisionFeed(
  endpoints: RoutedEndpoints,
  { endpoint, immediately, signal }: DecisionFeedOptions,
): AsyncGenerator<Decision> {
  const queue = new BoundedQueue<Decision>({ capacity: MOST_WAITING, overflow: 'drop-oldest' });
  const offs: (() => void)[] = [];
  if (endpoint !== '') await endpoints.openAll(endpoint, signal);
  offs.push(
    endpoints.onOpened(({ name, router }) => {
      if (endpoint !== '' && name !== endpoint) return;
      offs.push(router.onDecision((decision) => queue.tryPush(decision), { immediately }));
    }),
    onAbort(signal, () => {
      queue.close();
    }),
  );
  try {
    yield* queue;
  } finally {
    for (const off of offs) off();
  }
}
