import { describe, expect, it } from 'vitest';

import { parseLiveFrame, parseReplayFrame, replayRequest } from './event-frame.ts';

const empty = Buffer.alloc(0);
const topic = Buffer.from('kv-events');
const payload = Buffer.from('p');
const FORTY_TWO = Buffer.from('000000000000002a', 'hex');
const END = Buffer.alloc(8, 0xff);

describe('event frames', () => {
  it('are topic, number and payload on the live socket', () => {
    expect(parseLiveFrame([topic, FORTY_TWO, payload])).toEqual({
      kind: 'frame',
      sequence: 42n,
      payload,
    });
  });

  it.each([
    ['with topic', [empty, topic, FORTY_TWO, payload], [empty, empty, END, empty]],
    ['without topic', [empty, FORTY_TWO, payload], [empty, END, empty]],
  ])('are understood on the replay socket %s', (_name, frame, end) => {
    expect(parseReplayFrame(frame)).toEqual({ kind: 'frame', sequence: 42n, payload });
    expect(parseReplayFrame(end)).toEqual({ kind: 'end' });
  });

  it.each([
    ['frame-count', parseLiveFrame([FORTY_TWO, payload])],
    ['frame-count', parseLiveFrame([topic, FORTY_TWO, payload, payload])],
    ['frame-count', parseLiveFrame([])],
    ['sequence-size', parseLiveFrame([topic, Buffer.alloc(7), payload])],
    ['no-delimiter', parseReplayFrame([topic, FORTY_TWO, payload])],
    ['no-delimiter', parseReplayFrame([])],
    ['frame-count', parseReplayFrame([empty, FORTY_TWO])],
    ['frame-count', parseReplayFrame([empty, topic, FORTY_TWO, payload, payload])],
    ['sequence-size', parseReplayFrame([empty, topic, empty, payload])],
  ])('say what is wrong with others: %s', (problem, parsed) => {
    expect(parsed).toEqual({ kind: 'malformed', problem });
  });

  it('ask for a replay by the first number, big-endian', () => {
    expect(replayRequest(42n)).toEqual([empty, FORTY_TWO]);
  });
});
