import { describe, expect, it } from 'vitest';

import { FrameSender } from './frame-sender.ts';

interface Frame {
  readonly stream: number;
  readonly size: number;
  readonly last: boolean;
  readonly name?: string;
}

const MESSAGE_BYTES = 1000;

/** A sender whose connection takes messages only when told. */
class Wire {
  readonly messages: Frame[][] = [];
  readonly dones: (() => void)[] = [];
  readonly sender: FrameSender<Frame>;

  constructor(messageSizeBytes = 0) {
    this.sender = new FrameSender<Frame>({
      encode: () => new Uint8Array(messageSizeBytes),
      send: (_message, done, frames) => {
        this.messages.push([...frames]);
        this.dones.push(done);
      },
      dataFrame: (stream, data, last) => ({ stream, size: data.byteLength, last }),
      maxFrameBytes: 100,
      maxMessageBytes: MESSAGE_BYTES,
    });
  }

  get frames(): Frame[] {
    return this.messages.flat();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('FrameSender', () => {
  it('sends what one turn produced in one message, in order', async () => {
    const { sender, messages } = new Wire();
    sender.open(1, 1000);
    sender.open(2, 1000);
    sender.control({ stream: 1, size: 0, last: true, name: 'accepted' });
    sender.data(1, new Uint8Array(10));
    sender.data(2, new Uint8Array(20));
    sender.finish(1, { stream: 1, size: 0, last: true, name: 'end' });
    expect(messages).toEqual([]);
    await turn();
    expect(
      messages.map((frames) => frames.map(({ stream, size, name }) => name ?? [stream, size])),
    ).toEqual([['accepted', [1, 10], [2, 20], 'end']]);
  });

  it('sends at once, and together what comes before the connection has taken it', async () => {
    const wire = new Wire(10);
    const callback = async (stream: number): Promise<void> => {
      wire.sender.control({ stream, size: 0, last: true, name: `open ${stream}` });
      await new Promise<void>((resolve) => process.nextTick(resolve));
    };
    await callback(1);
    await callback(2);
    await callback(3);
    const names = () => wire.messages.map((frames) => frames.map(({ name }) => name));
    expect(names()).toEqual([['open 1']]);
    wire.dones.shift()?.();
    expect(names()).toEqual([['open 1'], ['open 2', 'open 3']]);
  });

  it('cuts large items into pieces that take turns, and ends each stream after its last piece', async () => {
    const { sender, ...wire } = new Wire();
    for (const stream of [1, 2]) {
      sender.open(stream, Infinity);
      expect(sender.data(stream, new Uint8Array(250))).toBe(false);
      sender.finish(stream, { stream, size: 0, last: true, name: 'end' });
    }
    await turn();
    const frames = wire.messages.flat();
    expect(frames.map(({ stream, size, last, name }) => name ?? [stream, size, last])).toEqual([
      [1, 100, false],
      [2, 100, false],
      [1, 100, false],
      [2, 100, false],
      [1, 50, true],
      'end',
      [2, 50, true],
      'end',
    ]);
  });

  it('stops at the end of a stream’s credit and goes on with more, without holding others', async () => {
    const wire = new Wire();
    const { sender } = wire;
    sender.open(1, 100);
    sender.open(2, 1000);
    expect(sender.data(1, new Uint8Array(60))).toBe(true);
    expect(sender.data(1, new Uint8Array(60))).toBe(false);
    expect(sender.data(1, new Uint8Array(60))).toBe(false);
    let drained = false;
    void sender.drained(1).then(() => (drained = true));
    expect(sender.data(2, new Uint8Array(5))).toBe(true);
    await turn();
    expect(wire.frames.map(({ stream }) => stream)).toEqual([1, 1, 2]);
    expect(drained).toBe(false);
    sender.addCredit(1, 100);
    await turn();
    expect(wire.frames.map(({ stream }) => stream)).toEqual([1, 1, 2, 1]);
    expect(drained).toBe(true);
  });

  it('waits for the connection and splits what has piled up', async () => {
    const wire = new Wire(2 * 1024 * 1024);
    const { sender } = wire;
    sender.open(1, Infinity);
    sender.data(1, new Uint8Array(1));
    await turn();
    for (let index = 0; index < 30; index++) sender.data(1, new Uint8Array(90));
    await turn();
    expect(wire.messages).toHaveLength(1);
    for (let round = 0; round < 10; round++) {
      wire.dones.shift()?.();
      await turn();
    }
    expect(wire.frames).toHaveLength(31);
    for (const frames of wire.messages) {
      const size = frames.reduce((sum, frame) => sum + frame.size, 0);
      expect(size).toBeLessThanOrEqual(MESSAGE_BYTES + 100);
    }
    await sender.flushed();
  });

  it('is flushed when items that are sent in pieces have left too, or were dropped', async () => {
    const wire = new Wire(100);
    const { sender } = wire;
    sender.open(1, 1000);
    sender.data(1, new Uint8Array(250));
    let isFlushed = false;
    const flushed = sender.flushed().then(() => (isFlushed = true));
    await turn();
    expect(wire.frames).toHaveLength(3);
    expect(isFlushed).toBe(false);
    wire.dones.shift()?.();
    await flushed;
    sender.data(1, new Uint8Array(250));
    const dropped = sender.flushed();
    sender.drop(1);
    await dropped;
  });

  it('a dropped stream sends nothing more and wakes its writer', async () => {
    const wire = new Wire();
    const { sender } = wire;
    sender.open(1, 0);
    sender.data(1, new Uint8Array(10));
    const drained = sender.drained(1);
    sender.drop(1);
    await drained;
    sender.addCredit(1, 100);
    await turn();
    expect(wire.frames).toEqual([]);
    expect(sender.data(1, new Uint8Array(1))).toBe(true);
  });
});
