import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { FinishReason, GenerateResponse, tokenIdsToBytes } from '@dynamo-ts/protocol';

import { ChoiceDecoder } from './choice-decoder.ts';
import type { StopOptions } from './choice-decoder.ts';
import type { DecodedDelta } from './decoded-delta.ts';
import { ByteTableDecoder } from './token-decoder.ts';
import { TokenTable } from './token-table.ts';

const EOS = 256;
const SPECIAL = 257;

/** Ids 0 to 255 are single bytes, then an end-of-sequence and a special token, then `words`. */
function byteTable(words: readonly Uint8Array[] = []): TokenTable {
  const entries = [
    ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
    new TextEncoder().encode('<eos>'),
    new TextEncoder().encode('<special>'),
    ...words,
  ];
  const offsets = new Uint32Array(entries.length + 1);
  entries.forEach((entry, id) => (offsets[id + 1] = (offsets[id] ?? 0) + entry.length));
  const flags = Uint8Array.from(entries, (_, id) => (id === EOS || id === SPECIAL ? 3 : 2));
  return new TokenTable({ bytes: Buffer.concat(entries), offsets, flags });
}

function choice(options: StopOptions & { table?: TokenTable } = {}): ChoiceDecoder {
  const { table = byteTable(), ...stop } = options;
  const decoder = new ByteTableDecoder({ table, skipSpecialTokens: true });
  return new ChoiceDecoder({ decoder, eosTokenIds: [EOS], ...stop });
}

function message(ids: readonly number[], extra: Partial<GenerateResponse> = {}): GenerateResponse {
  return GenerateResponse.create({ tokenIdsLe: tokenIdsToBytes(Uint32Array.from(ids)), ...extra });
}

const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)];

interface Whole {
  text: string;
  tokens: number;
  finish: DecodedDelta['finishReason'];
  reason: DecodedDelta['stopReason'];
}

function run(decoder: ChoiceDecoder, batches: readonly (readonly number[])[]): Whole {
  const whole: Whole = { text: '', tokens: 0, finish: undefined, reason: undefined };
  for (const ids of batches) {
    const delta = decoder.push(message(ids));
    expect(delta.pieces.join('')).toBe(delta.text);
    expect(delta.pieces.length).toBe(delta.tokenCount);
    whole.text += delta.text;
    whole.tokens += delta.tokenIds.length;
    whole.finish ??= delta.finishReason;
    whole.reason ??= delta.stopReason;
  }
  if (!decoder.finished) whole.text += decoder.flush();
  return whole;
}

describe('ChoiceDecoder', () => {
  it('gives each character with the token that completes it', () => {
    const decoder = choice();
    const pieces = bytesOf('é€😀a').flatMap((byte) => decoder.push(message([byte])).pieces);
    expect(pieces).toEqual(['', 'é', '', '', '€', '', '', '', '😀', 'a']);
  });

  it('shows U+FFFD for a character that is still incomplete at the end', () => {
    const decoder = choice();
    const [e2, x82] = bytesOf('€');
    expect(decoder.push(message([e2 ?? 0, x82 ?? 0])).text).toBe('');
    const last = decoder.push(message([], { finishReason: FinishReason.FINISH_REASON_LENGTH }));
    expect(last.text).toBe('\uFFFD');
    expect(last.finishReason).toBe('length');
    expect(last.stopEngine).toBe(false);
  });

  it('ends hidden and without a stop reason at end-of-sequence, and tells the engine to stop', () => {
    const delta = choice().push(message([...bytesOf('ab'), EOS, ...bytesOf('cd')]));
    expect(delta).toMatchObject({ text: 'ab', finishReason: 'stop', stopEngine: true });
    expect(delta.stopReason).toBeUndefined();
    expect(delta.tokenCount).toBe(3);
    expect(delta.pieces).toEqual(['a', 'b', '']);
  });

  it('does not tell an engine to stop that has stopped by itself', () => {
    const delta = choice().push(message([EOS], { finishReason: FinishReason.FINISH_REASON_EOS }));
    expect(delta).toMatchObject({ text: '', finishReason: 'stop', stopEngine: false });
  });

  it('names the stop id and shows its text only when asked to', () => {
    const [x] = bytesOf('x');
    const hidden = choice({ stopTokenIds: [x ?? 0] }).push(message(bytesOf('axb')));
    expect(hidden).toMatchObject({ text: 'a', finishReason: 'stop', stopReason: x });
    const shown = choice({ stopTokenIds: [x ?? 0], includeStopStrInOutput: true });
    expect(shown.push(message(bytesOf('axb'))).text).toBe('ax');
  });

  it('holds back only what could still become a stop string', () => {
    const decoder = choice({ stop: ['END.'] });
    const pieces = decoder.push(message(bytesOf('xENEND!END.y'))).pieces;
    expect(pieces).toEqual(['x', '', '', 'EN', '', '', 'END!', '', '', '', '']);
    expect(decoder.finished).toBe(true);
  });

  it('releases held text when the engine ends the answer', () => {
    const decoder = choice({ stop: ['END'] });
    expect(decoder.push(message(bytesOf('aEN'))).text).toBe('a');
    const last = decoder.push(message([EOS], { finishReason: FinishReason.FINISH_REASON_EOS }));
    expect(last.text).toBe('EN');
  });

  it('does not stop before min_tokens, whatever comes', () => {
    const stop = { stop: ['ab'], stopTokenIds: [0x78], minTokens: 5 };
    const whole = run(choice(stop), [[...bytesOf('ab'), EOS, ...bytesOf('xab')]]);
    expect(whole).toMatchObject({ text: 'abx', tokens: 6, finish: 'stop', reason: 'ab' });
  });

  it('ignores every stop but max_tokens under ignore_eos', () => {
    const options = { stop: ['b'], stopTokenIds: [0x61], ignoreEos: true, maxTokens: 4 };
    const delta = choice(options).push(message([...bytesOf('ab'), EOS, ...bytesOf('cd')]));
    expect(delta).toMatchObject({ text: 'abc', finishReason: 'length', stopEngine: true });
    expect(delta.tokenCount).toBe(4);
  });

  it('adds nothing after its end', () => {
    const decoder = choice({ maxTokens: 1 });
    expect(decoder.push(message(bytesOf('ab'))).text).toBe('a');
    const late = decoder.push(message(bytesOf('cd')));
    expect(late).toMatchObject({ text: '', tokenCount: 0, stopEngine: false, pieces: [] });
  });

  it('keeps the logprobs of accepted tokens only', () => {
    const logprobs = [1, 2, 3].map((tokenId) => ({ tokenId, logprob: -1, top: [], token: '' }));
    const delta = choice({ maxTokens: 2 }).push(message(bytesOf('abc'), { logprobs }));
    expect(delta.logprobs?.map((entry) => entry.tokenId)).toEqual([1, 2]);
  });

  it('passes text of engines that decode by themselves', () => {
    const decoder = choice({ stop: ['b'] });
    expect(decoder.push(message([], { text: 'abc' })).pieces).toEqual(['abc']);
    const end = message([], { finishReason: FinishReason.FINISH_REASON_STOP, stopReason: 'END' });
    expect(decoder.push(end)).toMatchObject({ text: '', finishReason: 'stop', stopReason: 'END' });
  });

  it('reports an engine failure as error', () => {
    const failed = message([], { finishReason: FinishReason.FINISH_REASON_ERROR, error: 'boom' });
    expect(choice().push(failed).finishReason).toBe('error');
  });
});

/** The rules of RF 4.7 computed over the whole text, without increments. */
function naive(ids: readonly number[], table: TokenTable, options: StopOptions): Whole {
  const { stop = [], minTokens = 0, maxTokens = Infinity, includeStopStrInOutput } = options;
  const textAfter = (count: number): string =>
    completeText(Buffer.concat(ids.slice(0, count).map((id) => visibleBytes(table, id))));
  for (let count = 1; count <= ids.length; count += 1) {
    const canStop = count >= minTokens;
    const lossy = Buffer.concat(ids.slice(0, count).map((id) => visibleBytes(table, id)));
    if (canStop && ids[count - 1] === EOS)
      return { text: lossy.toString(), tokens: count, finish: 'stop', reason: undefined };
    const match = canStop ? firstMatch(textAfter(count), textAfter(count - 1).length, stop) : null;
    if (match) {
      const end = includeStopStrInOutput === true ? match.end : match.end - match.stop.length;
      const text = textAfter(count).slice(0, end);
      return { text, tokens: count, finish: 'stop', reason: match.stop };
    }
    if (count >= maxTokens)
      return { text: lossy.toString(), tokens: count, finish: 'length', reason: undefined };
  }
  const all = Buffer.concat(ids.map((id) => visibleBytes(table, id)));
  return { text: all.toString(), tokens: ids.length, finish: undefined, reason: undefined };
}

function visibleBytes(table: TokenTable, id: number): Buffer {
  return table.isSpecial(id) ? Buffer.alloc(0) : table.bytesOf(id);
}

/** Text of all complete characters: what a streaming WHATWG decoder gives before its end. */
function completeText(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes, { stream: true });
}

function firstMatch(
  text: string,
  after: number,
  stops: readonly string[],
): { stop: string; end: number } | undefined {
  for (let end = after + 1; end <= text.length; end += 1) {
    const matches = stops.filter((stop) => stop !== '' && text.slice(0, end).endsWith(stop));
    const [stop] = matches.toSorted((a, b) => b.length - a.length);
    if (stop !== undefined) return { stop, end };
  }
  return undefined;
}

describe('ChoiceDecoder over random answers', () => {
  const words = ['ab', 'aab', 'é', '😀b', 'ba'].map((word) => new TextEncoder().encode(word));
  const table = byteTable([...words, Uint8Array.of(0x61, 0xe2), Uint8Array.of(0x82, 0xac, 0x62)]);
  const token = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(0x61, 0x62) },
    { weight: 4, arbitrary: fc.integer({ min: SPECIAL + 1, max: table.size - 1 }) },
    { weight: 2, arbitrary: fc.integer({ min: 0x80, max: 0xff }) },
    { weight: 1, arbitrary: fc.constantFrom(EOS, SPECIAL) },
  );
  const stops = fc.array(
    fc.string({ unit: fc.constantFrom('a', 'b', 'é', '😀', '€'), minLength: 1, maxLength: 4 }),
    { maxLength: 3 },
  );
  const options = fc.record({
    stop: stops,
    minTokens: fc.nat(6),
    maxTokens: fc.integer({ min: 1, max: 40 }),
    includeStopStrInOutput: fc.boolean(),
  });

  it('equals the whole-text computation for every way of batching', () => {
    fc.assert(
      fc.property(
        fc.array(token, { minLength: 1, maxLength: 30 }),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 30 }),
        options,
        (ids, sizes, stop) => {
          expect(run(choice({ ...stop, table }), batched(ids, sizes))).toEqual(
            naive(ids, table, stop),
          );
        },
      ),
      { numRuns: 3000 },
    );
  });
});

function batched(ids: readonly number[], sizes: readonly number[]): number[][] {
  const batches: number[][] = [];
  for (let at = 0; at < ids.length;) {
    const size = sizes[batches.length % sizes.length] ?? 1;
    batches.push(ids.slice(at, at + size));
    at += size;
  }
  return batches;
}
