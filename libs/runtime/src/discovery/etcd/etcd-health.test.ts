import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { TaskGroup, systemClock } from '@dynamo-ts/base';
import { nullLogger } from '@dynamo-ts/telemetry';
import { expect, it } from 'vitest';

import { EtcdHealth } from './etcd-health.ts';

const LIMIT_MS = 20;

/** Answers every message, and counts its answers where a thread that stands still can see them. */
const ANSWERER = `
  const { parentPort, workerData } = require('node:worker_threads');
  parentPort.on('message', () => {
    parentPort.postMessage('answer');
    Atomics.add(new Int32Array(workerData), 0, 1);
  });
`;

function healthOf(probe: () => Promise<unknown>, tasks: TaskGroup): EtcdHealth {
  return new EtcdHealth({
    probe,
    tasks,
    clock: systemClock,
    logger: nullLogger,
    onRecovery: () => undefined,
  });
}

it('does not take a stall of this process for the silence of etcd', async () => {
  const answers = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(ANSWERER, { eval: true, workerData: answers.buffer });
  await once(worker, 'online');
  const tasks = new TaskGroup({ name: 'test', onError: () => undefined });
  const probe = (): Promise<unknown> => {
    worker.postMessage('question');
    return once(worker, 'message');
  };
  const health = healthOf(probe, tasks);
  // What comes next are the timers: the limit is over before the answer is read.
  await setImmediate();
  const checked = health.check(LIMIT_MS, tasks.signal);
  const startMs = performance.now();
  while (Atomics.load(answers, 0) === 0 || performance.now() - startMs < 2 * LIMIT_MS);
  await checked;
  expect(health.state).toBe('connected');
  await worker.terminate();
  await tasks.close();
});

it('takes silence for an outage', async () => {
  const tasks = new TaskGroup({ name: 'test', onError: () => undefined });
  const health = healthOf(() => new Promise(() => undefined), tasks);
  health.noteAnswer();
  await health.check(LIMIT_MS, tasks.signal);
  expect(health.state).toBe('disconnected');
  await tasks.close();
});
