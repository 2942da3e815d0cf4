import { MetricsRegistry } from '@dynamo-ts/telemetry';
import { expect, it } from 'vitest';

import { defaultProfile } from './policy-profile.ts';
import { QueueMeter } from './queue-meter.ts';
import { requestOf } from './testing-host.ts';
import { WaitingClass } from './waiting-class.ts';

it('adds up the queues of a model at several endpoints, and forgets them with the last one', async () => {
  const metrics = new MetricsRegistry();
  const [policyClass] = defaultProfile().classes;
  if (policyClass === undefined) throw new TypeError('the default profile has a class');
  const queues = [new WaitingClass(policyClass), new WaitingClass(policyClass)];
  const [first, second] = queues.map(
    (each) => new QueueMeter({ metrics, model: 'm', workerType: 'decode', classes: [each] }),
  );
  const pending = async (): Promise<string | undefined> =>
    /^dynamo_frontend_router_queue_pending_requests\{.*\} (\d+)$/m.exec(await metrics.text())?.[1];
  const entry = { request: requestOf('a'), cachedTokens: 0 };
  queues[0]?.entered(entry);
  queues[1]?.entered(entry);
  queues[1]?.entered(entry);
  expect(await pending()).toBe('3');
  queues[1]?.left(entry);
  expect(await pending()).toBe('2');
  first?.[Symbol.dispose]();
  expect(await pending()).toBe('1');
  queues[1]?.left(entry);
  expect(await pending()).toBe('0');
  second?.[Symbol.dispose]();
  expect(await pending()).toBeUndefined();
});
