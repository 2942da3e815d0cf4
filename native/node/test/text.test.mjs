import { createRequire } from 'node:module';

import { describe, expect, it } from 'vitest';

const native = createRequire(import.meta.url)('../index.js');

const load = (files = [{ role: 'builtin' }], options = {}) =>
  native.NativeTextModel.load({ files, ...options });
const chat = (content, fields = {}) =>
  Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content }], ...fields }));

describe('NativeTextModel', () => {
  it('renders, tokenises and hashes a chat body in one call', async () => {
    const model = await load();
    const options = { blockSize: 16, keepFormattedPrompt: true };
    const prompt = await model.encodeChat(chat('hé'), options);
    const text = '<|im_start|>user\nhé<|im_end|>\n<|im_start|>assistant\n';
    expect(prompt.formattedPrompt).toBe(text);
    expect(model.decode(prompt.tokenIds, false)).toBe(text);
    expect(prompt.tokenIds[0]).toBe(257);
    expect(prompt.blockHashes).toEqual(native.blockHashes(prompt.tokenIds, 16, '', ''));
    expect(prompt.blockHashes.length).toBe(Math.floor(prompt.tokenIds.length / 16));
  });

  it('takes salt and adapter into the hashes and leaves the prompt out unless asked', async () => {
    const model = await load();
    const options = { blockSize: 4, salt: 'tenant', loraName: 'adapter' };
    const prompt = await model.encodeChat(chat('hello'), options);
    expect(prompt.formattedPrompt).toBeUndefined();
    expect(prompt.blockHashes).toEqual(native.blockHashes(prompt.tokenIds, 4, 'adapter', 'tenant'));
  });

  it('does the same on the calling thread for what is short', async () => {
    const model = await load();
    const options = { blockSize: 4, salt: 'tenant', keepFormattedPrompt: true };
    const content = ({ tokenIds, blockHashes, formattedPrompt }) => ({
      tokenIds,
      blockHashes,
      formattedPrompt,
    });
    const now = model.encodeChatNow(chat('hello'), options);
    expect(content(now)).toEqual(content(await model.encodeChat(chat('hello'), options)));
    expect(now.blockHashes.length).toBeGreaterThan(0);
    const text = model.encodeTextNow('hello there', options);
    expect(content(text)).toEqual(content(await model.encodeText('hello there', options)));
    expect(() => model.encodeChatNow(Buffer.from('null'), options)).toThrow(
      expect.objectContaining({ code: 'request.invalid' }),
    );
    model.close();
    expect(() => model.encodeTextNow('hello', options)).toThrow(
      expect.objectContaining({ code: 'runtime.closed' }),
    );
  });

  it('finds earlier turns in its cache', async () => {
    const model = await load();
    const first = { role: 'user', content: 'A question that is long enough to be remembered.' };
    const body = (...messages) => Buffer.from(JSON.stringify({ messages }));
    const options = { blockSize: 16 };
    expect((await model.encodeChat(body(first), options)).cachedTokens).toBe(0);
    const next = [
      { role: 'assistant', content: 'Yes.' },
      { role: 'user', content: 'And?' },
    ];
    const again = await model.encodeChat(body(first, ...next), options);
    expect(again.cachedTokens).toBeGreaterThan(first.content.length);
    const uncached = await load(undefined, { prefixCacheBytes: 0 });
    const plain = await uncached.encodeChat(body(first, ...next), options);
    expect(again.tokenIds).toEqual(plain.tokenIds);
  });

  it('encodes prompts of a completion body by their index', async () => {
    const model = await load();
    const encode = async (prompt, index) => {
      const body = Buffer.from(JSON.stringify({ prompt }));
      return [...(await model.encodeCompletion(body, index, { blockSize: 0 })).tokenIds];
    };
    expect(await encode('ab', 0)).toEqual([97, 98]);
    expect(await encode(['a', 'b'], 1)).toEqual([98]);
    expect(await encode([[1], [2, 3]], 1)).toEqual([2, 3]);
    await expect(encode([5000], 0)).rejects.toMatchObject({ code: 'request.invalid' });
  });

  it('rejects with registered codes', async () => {
    const model = await load();
    const bodies = [
      '',
      'null',
      '{"messages": []}',
      '{"messages": [{"role": "user", "content": 1}]}',
    ];
    for (const body of bodies) {
      const encoded = model.encodeChat(Buffer.from(body), { blockSize: 16 });
      await expect(encoded, body).rejects.toMatchObject({ code: 'request.invalid' });
    }
    const limited = model.encodeChat(chat('too long'), { blockSize: 16, maxPromptTokens: 10 });
    await expect(limited).rejects.toMatchObject({
      code: 'request.context_length',
      message: expect.stringMatching(/\d+ tokens.* 10 /u),
    });
    for (const files of [[], [{ role: 'gguf', path: '/nowhere' }], [{ role: 'what' }]]) {
      await expect(load(files)).rejects.toMatchObject({ code: 'model.invalid' });
    }
  });

  it('refuses use after close and finishes work begun before', async () => {
    const model = await load();
    expect(model.memoryBytes()).toBeGreaterThan(0);
    const begun = model.encodeChat(chat('hello'), { blockSize: 16 });
    await begun;
    model.close();
    model.close();
    expect(model.memoryBytes()).toBe(0);
    expect(() => model.info()).toThrow(expect.objectContaining({ code: 'runtime.closed' }));
    const late = model.encodeChat(chat('hello'), { blockSize: 16 });
    await expect(late).rejects.toMatchObject({ code: 'runtime.closed' });
  });

  it('states what the built-in model is', async () => {
    const model = await load();
    const info = model.info();
    expect(info).toMatchObject({ vocabSize: 259, contextLength: 131_072, byteLevel: true });
    expect([...info.eosTokenIds]).toEqual([256, 258]);
    const { bytes, offsets, flags } = model.tokenTable();
    const bytesOf = (id) => [...bytes.subarray(offsets[id], offsets[id + 1])];
    for (let id = 0; id < 256; id += 1) expect(bytesOf(id)).toEqual([id]);
    expect([flags[65], flags[256]]).toEqual([2, 3]);
  });

  it('keeps the event loop free during a prompt of two million tokens', async () => {
    const model = await load(undefined, { prefixCacheBytes: 0 });
    const body = chat('word '.repeat(400_000));
    await model.encodeChat(body, { blockSize: 16 });
    const { eventLoopUtilization } = performance;
    const before = eventLoopUtilization();
    const prompt = await model.encodeChat(body, { blockSize: 16 });
    expect(prompt.tokenIds.length).toBeGreaterThan(2_000_000);
    expect(eventLoopUtilization(before).utilization).toBeLessThan(0.5);
  });
});

describe('bodies', () => {
  it('are reduced to their small fields', async () => {
    const body = chat('x'.repeat(2_000_000), { temperature: 0.5 });
    const { fieldsJson } = await native.inspectBody(body);
    expect(JSON.parse(fieldsJson)).toEqual({
      model: 'm',
      messages: [{ role: 'user', content: '.' }],
      temperature: 0.5,
    });
    const broken = native.inspectBody(Buffer.from('{'));
    await expect(broken).rejects.toMatchObject({ code: 'request.invalid' });
  });

  it('are repaired where JSON.parse refuses them', () => {
    const repaired = native.repairJson(Buffer.from('{"a": "line\nnext\u0001", "b": 1.0}'));
    expect(JSON.parse(repaired)).toEqual({ a: 'line\nnext\u0001', b: 1 });
    expect(() => native.repairJson(Buffer.from('{"a": '))).toThrow(
      expect.objectContaining({ code: 'request.invalid' }),
    );
  });
});
