import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { EngineEventSource } from './engine-event-source.ts';
import type { EventFrame } from './event-frame.ts';
import type { EventFrameSink, FramePlacement } from './frame-intake.ts';
import { ScriptedPublisher, freeAddress } from './testing/scripted-publisher.ts';
import type { ScriptedPublisherOptions } from './testing/scripted-publisher.ts';

/** Frames of these tests: the payload is the publisher's clock and a name. */
function frame(sequence: number, clock = sequence): EventFrame {
  return { sequence: BigInt(sequence), payload: Buffer.from(`${clock}`) };
}

/** Knows order as the native decoder does, and keeps what it applied. */
class OrderedSink implements EventFrameSink {
  readonly log: string[] = [];
  #last: { readonly sequence: bigint; readonly clock: number } | undefined;

  acceptFrame(_source: number, sequence: bigint, payload: Uint8Array): FramePlacement {
    const clock = Number(Buffer.from(payload).toString());
    if (Number.isNaN(clock)) return { place: 'refused', error: 'truncated' };
    const place = this.#place(sequence, clock);
    if (place === 'gap') return { place, missingFrom: (this.#last?.sequence ?? -1n) + 1n };
    if (place === 'stale') return { place };
    if (place === 'restarted') this.log.push('cleared');
    this.#last = { sequence, clock };
    this.log.push(String(sequence));
    return { place };
  }

  skipTo(_source: number, next: bigint): bigint {
    this.#last = { sequence: next - 1n, clock: this.#last?.clock ?? 0 };
    this.log.push('cleared');
    return next;
  }

  #place(sequence: bigint, clock: number): FramePlacement['place'] {
    if (this.#last === undefined) return 'first';
    if (sequence === this.#last.sequence + 1n) return 'next';
    if (sequence > this.#last.sequence) return 'gap';
    return clock > this.#last.clock ? 'restarted' : 'stale';
  }
}

describe('EngineEventSource', () => {
  const closers: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  async function publisherOf(options: ScriptedPublisherOptions = {}): Promise<ScriptedPublisher> {
    const publisher = await ScriptedPublisher.start(options);
    closers.push(() => publisher.close());
    return publisher;
  }

  async function subscribe(
    publisher: ScriptedPublisher,
    { hasReplay = true, topic }: { hasReplay?: boolean; topic?: string } = {},
  ) {
    const sink = new OrderedSink();
    const metrics = new MetricsRegistry();
    const onChange = vi.fn();
    const { endpoint, replayEndpoint } = publisher;
    const source = new EngineEventSource({
      address: {
        dpRank: 0,
        endpoint,
        topic,
        replayEndpoint: hasReplay ? replayEndpoint : undefined,
      },
      sink,
      onChange,
      workerId: 'w',
      logger: nullLogger,
      metrics,
      replayTimeoutMs: { silence: 200, total: 2000 },
    });
    closers.push(() => source.close());
    await source.start();
    await publisher.subscribed();
    const logged = (...entries: (string | number)[]) =>
      vi.waitFor(() => {
        expect(sink.log).toEqual(entries.map(String));
      }, 5000);
    return { sink, source, metrics, onChange, logged };
  }

  it('asks for what was sent before it came, then follows', async () => {
    const publisher = await publisherOf();
    publisher.kept.push(frame(0), frame(1));
    const { logged, onChange } = await subscribe(publisher);
    await logged(0, 1);
    await publisher.publish(frame(2));
    await logged(0, 1, 2);
    expect(onChange).toHaveBeenCalledTimes(3);
    expect(publisher.asked).toEqual([0n]);
  });

  it.each([true, false])(
    'asks for lost frames, topic in the answer: %s',
    async (hasTopicInReplay) => {
      const publisher = await publisherOf({ hasTopicInReplay });
      const { logged } = await subscribe(publisher);
      await publisher.publish(frame(0));
      await logged(0);
      publisher.kept.push(frame(1), frame(2));
      await publisher.publish(frame(3));
      await logged(0, 1, 2, 3);
      expect(publisher.asked).toEqual([0n, 1n]);
    },
  );

  it('ignores repeated frames and takes reordered ones in order', async () => {
    const publisher = await publisherOf();
    const { logged } = await subscribe(publisher);
    publisher.kept.push(frame(0), frame(1), frame(2));
    for (const sequence of [0, 2, 1, 1, 0]) await publisher.send(frame(sequence));
    await publisher.publish(frame(3));
    await logged(0, 1, 2, 3);
  });

  it('gives frames up that the engine has not kept', async () => {
    const publisher = await publisherOf();
    const { logged, metrics } = await subscribe(publisher);
    await publisher.publish(frame(0));
    await publisher.publish(frame(5));
    await logged(0, 'cleared', 5);
    expect(await metrics.text()).toMatch(
      /engines_dropped_events_total\{worker_id="w",dp_rank="0"\} 4/,
    );
  });

  it('asks again for what an answer lacks in its middle', async () => {
    const publisher = await publisherOf();
    const { logged } = await subscribe(publisher);
    await publisher.publish(frame(0));
    await logged(0);
    publisher.kept.push(frame(1), frame(3), frame(4));
    await publisher.publish(frame(5));
    await logged(0, 1, 'cleared', 3, 4, 5);
    expect(publisher.asked).toEqual([0n, 1n, 2n]);
  });

  it('gives frames up when the replay socket is silent, or there is none', async () => {
    for (const hasReplay of [true, false]) {
      const publisher = await publisherOf({ answersReplays: false });
      const { logged } = await subscribe(publisher, { hasReplay });
      await publisher.publish(frame(0));
      await publisher.publish(frame(2));
      await publisher.publish(frame(3));
      await logged(0, 'cleared', 2, 3);
    }
  });

  it('comes back to a publisher that restarted, and sees it before the first new frame', async () => {
    const publisher = await publisherOf();
    const { logged } = await subscribe(publisher);
    await publisher.publish(frame(0));
    await publisher.publish(frame(1));
    await logged(0, 1);
    await publisher.restart();
    publisher.kept.push(frame(0, 10));
    await publisher.subscribed();
    await logged(0, 1, 'cleared', 0);
    await publisher.publish(frame(1, 11));
    await logged(0, 1, 'cleared', 0, 1);
  });

  it('goes on after a connection that broke without loss', async () => {
    const publisher = await publisherOf();
    const { logged } = await subscribe(publisher);
    await publisher.publish(frame(0));
    await logged(0);
    const kept = [...publisher.kept, frame(1)];
    await publisher.restart();
    publisher.kept.push(...kept);
    await publisher.subscribed();
    await publisher.publish(frame(2));
    await logged(0, 1, 2);
  });

  it('counts what is no frame and what cannot be read, and goes on', async () => {
    const publisher = await publisherOf();
    const { logged, metrics } = await subscribe(publisher);
    await publisher.sendRaw(['kv-events', 'short', 'x']);
    await publisher.sendRaw(['kv-events']);
    await publisher.publish(frame(0));
    await publisher.send({ sequence: 1n, payload: Buffer.from('junk') });
    await publisher.publish(frame(1));
    await logged(0, 1);
    const page = await metrics.text();
    expect(page).toMatch(/malformed_messages_total\{.*problem="sequence-size"\} 1/);
    expect(page).toMatch(/malformed_messages_total\{.*problem="frame-count"\} 1/);
  });

  it('hears the topic that it was told alone', async () => {
    const publisher = await publisherOf();
    const { logged } = await subscribe(publisher, { topic: 'kv-events', hasReplay: false });
    await publisher.sendRaw(['other', Buffer.alloc(8), '7']);
    await publisher.publish(frame(1));
    await logged(1);
  });

  it('outlives a message that is too long', async () => {
    const publisher = await publisherOf();
    const { logged } = await subscribe(publisher);
    await publisher.publish(frame(0));
    await publisher.send({ sequence: 1n, payload: Buffer.alloc(17 * 1024 * 1024) });
    await publisher.subscribed();
    await publisher.publish(frame(2));
    await logged(0, 'cleared', 2);
  });

  it('listens itself where the engine connects', async () => {
    const address = await freeAddress();
    const sink = new OrderedSink();
    const source = new EngineEventSource({
      address: { dpRank: 0, endpoint: address.replace('127.0.0.1', '*') },
      sink,
      onChange: () => undefined,
      workerId: 'w',
      logger: nullLogger,
      metrics: new MetricsRegistry(),
    });
    closers.push(() => source.close());
    await source.start();
    await using engine = ScriptedPublisher.connect(address);
    await engine.subscribed();
    await engine.publish(frame(0));
    await engine.publish(frame(1));
    await vi.waitFor(() => {
      expect(sink.log).toEqual(['0', '1']);
    });
  });

  it('closes while it waits for lost frames', async () => {
    const publisher = await publisherOf({ answersReplays: false });
    const { source } = await subscribe(publisher);
    await vi.waitFor(() => {
      expect(publisher.asked).toEqual([0n]);
    });
    await source.close();
    await source.close();
  });
});
