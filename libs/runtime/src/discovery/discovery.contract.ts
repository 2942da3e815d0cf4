/** What every discovery backend must do; each backend's test calls {@link describeDiscoveryContract}. */
import { eventually } from '@dynamo-ts/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { Discovery, DiscoveryEvent } from './discovery.ts';

/** One store under test. */
export interface DiscoveryHarness extends AsyncDisposable {
  /** A discovery object as another process would have it. */
  connect(): Discovery;
  /** Writes a value past the backend, for example a half-written one. */
  corrupt(key: string, value: Uint8Array): Promise<void>;
}

/** Collects what a watch reports. */
export class WatchRecorder {
  readonly events: DiscoveryEvent[] = [];
  readonly done: Promise<void>;
  readonly #controller = new AbortController();

  constructor(discovery: Discovery, prefix: string) {
    this.done = this.#run(discovery.watch(prefix, { signal: this.#controller.signal }));
  }

  /** The records that the events add up to, decoded. */
  get records(): Record<string, unknown> {
    const records: Record<string, unknown> = {};
    for (const event of this.events) {
      if (event.kind === 'put') records[event.key] = decode(event.value);
      if (event.kind === 'delete') Reflect.deleteProperty(records, event.key);
    }
    return records;
  }

  get isReady(): boolean {
    return this.events.some((event) => event.kind === 'ready');
  }

  /** Waits until the events add up to `expected`. */
  async reaches(expected: Record<string, unknown>): Promise<void> {
    await eventually(
      () => {
        expect(this.records).toEqual(expected);
        return true;
      },
      { what: 'the watched records', timeoutMs: 25_000 },
    );
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    await this.done;
  }

  async #run(events: AsyncIterable<DiscoveryEvent>): Promise<void> {
    for await (const event of events) this.events.push(event);
  }
}

/** JSON bytes of a value. */
export function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** The records under a prefix, decoded. */
export async function listed(
  discovery: Discovery,
  prefix: string,
): Promise<Record<string, unknown>> {
  const records = await discovery.list(prefix);
  return Object.fromEntries(records.map(({ key, value }) => [key, decode(value)]));
}

function decode(value: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(value));
}

/** Registers the contract's tests for one backend. */
export function describeDiscoveryContract(
  name: string,
  createHarness: () => Promise<DiscoveryHarness>,
): void {
  describe(`${name} keeps the discovery contract`, () => {
    let harness: DiscoveryHarness;
    const opened: Discovery[] = [];
    const recorders: WatchRecorder[] = [];
    let testNumber = 0;
    let prefix = '';

    const connect = (): Discovery => {
      const discovery = harness.connect();
      opened.push(discovery);
      return discovery;
    };
    const watch = (discovery: Discovery, path = prefix): WatchRecorder => {
      const recorder = new WatchRecorder(discovery, path);
      recorders.push(recorder);
      return recorder;
    };

    beforeAll(async () => {
      harness = await createHarness();
    }, 120_000);
    afterAll(async () => {
      await harness[Symbol.asyncDispose]();
    });
    afterEach(async () => {
      await Promise.all(recorders.splice(0).map((recorder) => recorder.stop()));
      await Promise.all(opened.splice(0).map((discovery) => discovery.close()));
    });
    const test = (title: string, run: () => Promise<void>): void => {
      it(title, { timeout: 60_000 }, async () => {
        testNumber += 1;
        prefix = `v1/contract/test-${testNumber}/`;
        await run();
      });
    };

    test('lists exactly the records under a prefix, whatever characters their keys have', async () => {
      const [writer, reader] = [connect(), connect()];
      const key = `${prefix}a%2Eb/generate/1f`;
      await writer.register({ key, value: encode({ name: 'ä' }) });
      await writer.register({ key: `${prefix}b/generate/2`, value: encode(2) });
      await writer.register({ key: `v1/contract/other-${testNumber}/3`, value: encode(3) });
      expect(await listed(reader, `${prefix}a`)).toEqual({ [key]: { name: 'ä' } });
      expect(await listed(reader, prefix)).toEqual({
        [key]: { name: 'ä' },
        [`${prefix}b/generate/2`]: 2,
      });
    });

    test('reports the snapshot, then ready, then changes', async () => {
      const [writer, reader] = [connect(), connect()];
      const first = await writer.register({ key: `${prefix}1`, value: encode(1) });
      const recorder = watch(reader);
      await eventually(() => recorder.isReady);
      expect(recorder.events.map((event) => event.kind)).toEqual(['put', 'ready']);
      expect(recorder.records).toEqual({ [`${prefix}1`]: 1 });
      await writer.register({ key: `${prefix}2`, value: encode(2) });
      await recorder.reaches({ [`${prefix}1`]: 1, [`${prefix}2`]: 2 });
      await first.close();
      await first.close();
      await recorder.reaches({ [`${prefix}2`]: 2 });
      expect(recorder.events.filter((event) => event.kind === 'ready')).toHaveLength(1);
    });

    test('is ready at once when nothing is there', async () => {
      const recorder = watch(connect());
      await eventually(() => recorder.isReady);
      expect(recorder.events).toEqual([{ kind: 'ready' }]);
    });

    test('takes a second registration of a key as its replacement', async () => {
      const [writer, reader] = [connect(), connect()];
      const recorder = watch(reader);
      const first = await writer.register({ key: `${prefix}1`, value: encode('old') });
      await recorder.reaches({ [`${prefix}1`]: 'old' });
      const second = await writer.register({ key: `${prefix}1`, value: encode('new') });
      await recorder.reaches({ [`${prefix}1`]: 'new' });
      await first.close();
      expect(await reader.list(prefix)).toHaveLength(1);
      await second.close();
      await recorder.reaches({});
      expect(await reader.list(prefix)).toEqual([]);
    });

    test('keeps the last value of a record that became unreadable', async () => {
      const [writer, reader] = [connect(), connect()];
      const recorder = watch(reader);
      await writer.register({ key: `${prefix}1`, value: encode('whole') });
      await recorder.reaches({ [`${prefix}1`]: 'whole' });
      await harness.corrupt(`${prefix}1`, new TextEncoder().encode('{"half'));
      await harness.corrupt(`${prefix}never-whole`, new TextEncoder().encode('{"half'));
      await writer.register({ key: `${prefix}2`, value: encode(2) });
      await recorder.reaches({ [`${prefix}1`]: 'whole', [`${prefix}2`]: 2 });
      expect((await reader.list(prefix)).map((record) => record.key)).toEqual([`${prefix}2`]);
    });

    test('removes all records of a process that closes, for those that watch', async () => {
      const [writer, other, reader] = [connect(), connect(), connect()];
      const keys = Array.from({ length: 50 }, (_, index) => `${prefix}${index}`);
      await Promise.all(keys.map((key) => writer.register({ key, value: encode(key) })));
      await other.register({ key: `${prefix}other`, value: encode(0) });
      const recorder = watch(reader);
      await recorder.reaches({
        ...Object.fromEntries(keys.map((key) => [key, key])),
        [`${prefix}other`]: 0,
      });
      await writer.close();
      await writer.close();
      await recorder.reaches({ [`${prefix}other`]: 0 });
    });

    test('gives a slow reader the difference, not the history', async () => {
      const [writer, reader] = [connect(), connect()];
      const controller = new AbortController();
      const events = reader.watch(prefix, { signal: controller.signal })[Symbol.asyncIterator]();
      expect((await events.next()).value).toEqual({ kind: 'ready' });
      const recorder = watch(reader);
      for (const value of [1, 2, 3]) {
        await writer.register({ key: `${prefix}1`, value: encode(value) });
      }
      const gone = await writer.register({ key: `${prefix}2`, value: encode(0) });
      await gone.close();
      await recorder.reaches({ [`${prefix}1`]: 3 });
      const seen: unknown[] = [];
      await eventually(async () => {
        const next = await events.next();
        if (next.done !== true && next.value.kind === 'put') seen.push(decode(next.value.value));
        return seen.at(-1) === 3;
      });
      controller.abort();
      expect(await events.next()).toEqual({ done: true, value: undefined });
    });

    test('ends a watch when its signal aborts and when discovery closes', async () => {
      const reader = connect();
      const [aborted, closed] = [watch(reader), watch(reader)];
      await eventually(() => aborted.isReady && closed.isReady);
      await aborted.stop();
      await reader.close();
      await closed.done;
    });

    test('refuses aborted work and work after close', async () => {
      const discovery = connect();
      const record = { key: `${prefix}1`, value: encode(1) };
      await expect(
        discovery.register(record, { signal: AbortSignal.abort() }),
      ).rejects.toMatchObject({ code: 'request.cancelled' });
      expect(await discovery.list(prefix)).toEqual([]);
      expect(discovery.state).toBe('connected');
      await discovery.close();
      await expect(discovery.register(record)).rejects.toMatchObject({ code: 'runtime.closed' });
      await expect(discovery.list(prefix)).rejects.toMatchObject({ code: 'runtime.closed' });
    });
  });
}
