import { describe, expect, it } from 'vitest';

import type { ServerSentEvent } from './event-stream-parser.ts';
import { EventStreamParser } from './event-stream-parser.ts';

const STREAM = [
  ': a comment\r\n',
  'data: {"content":"日本語 🎉"}\n\n',
  'event: ping\rdata:two\rdata: lines \r\r',
  'data\r\n\r\n',
  'id: 7\nretry: 10\nunknown: x\ndata: last\r\n\r\n\n\n',
  'error: {"code":500}\n\n',
  'data: cut off by the end\n',
].join('');

const EVENTS: readonly ServerSentEvent[] = [
  { event: 'message', data: '{"content":"日本語 🎉"}' },
  { event: 'ping', data: 'two\nlines ' },
  { event: 'message', data: '' },
  { event: 'message', data: 'last' },
  { event: 'error', data: '{"code":500}' },
];

function parse(chunks: readonly Uint8Array[]): ServerSentEvent[] {
  const parser = new EventStreamParser();
  return chunks.flatMap((chunk) => [...parser.push(chunk)]);
}

describe('EventStreamParser', () => {
  const bytes = new TextEncoder().encode(STREAM);

  it('reads every field and line ending of the standard', () => {
    expect(parse([bytes])).toEqual(EVENTS);
  });

  it('gives the same events for every split of the bytes in three', () => {
    for (let first = 0; first <= bytes.length; first++) {
      for (let second = first; second <= bytes.length; second++) {
        const chunks = [bytes.slice(0, first), bytes.slice(first, second), bytes.slice(second)];
        expect(parse(chunks)).toEqual(EVENTS);
      }
    }
  });

  it('gives the same events byte by byte', () => {
    expect(parse(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(EVENTS);
  });

  it('ignores a byte order mark', () => {
    expect(parse([new TextEncoder().encode('\ufeffdata: x\n\n')])).toEqual([
      { event: 'message', data: 'x' },
    ]);
  });
});
