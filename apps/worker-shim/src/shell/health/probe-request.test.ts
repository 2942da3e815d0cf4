import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { GenerateRequest, ModelDeploymentCard, tokenIdsFromBytes } from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import { probeRequest, readProbePayload } from './probe-request.ts';

const tokens = ModelDeploymentCard.create({ modelInput: 'tokens', bosTokenId: 5 });
const text = ModelDeploymentCard.create({ modelInput: 'text' });

describe('the health probe', () => {
  it('asks for one token after the beginning of a sequence', () => {
    const request = GenerateRequest.decode(probeRequest(tokens));
    expect(request.probe).toBe(true);
    expect([...tokenIdsFromBytes(request.tokenIdsLe)]).toEqual([5]);
    expect(request.stopConditions?.maxTokens).toBe(1);
  });

  it('asks what the operator says', () => {
    const payload = readProbePayload(
      '{"token_ids":[7,8],"prompt":"ping","stop_conditions":{"max_tokens":2},"sampling_options":{"temperature":0.5}}',
    );
    const request = GenerateRequest.decode(probeRequest(tokens, payload));
    expect([...tokenIdsFromBytes(request.tokenIdsLe)]).toEqual([7, 8]);
    expect(request.stopConditions?.maxTokens).toBe(2);
    expect(request.samplingOptions?.temperature).toBe(0.5);
    const { textInput } = GenerateRequest.decode(probeRequest(text, payload));
    expect(JSON.parse(Buffer.from(textInput?.bodyJson ?? '').toString())).toEqual({
      prompt: 'ping',
      max_tokens: 2,
      temperature: 0.5,
    });
  });

  it('is read from a file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dynamo-probe-'));
    await writeFile(join(folder, 'probe.json'), '{"prompt":"ping","max_tokens":3}');
    expect(readProbePayload(`@${join(folder, 'probe.json')}`)).toEqual({
      prompt: 'ping',
      maxTokens: 3,
    });
    await rm(folder, { recursive: true });
  });

  it.each([
    '{',
    '[]',
    '"x"',
    '@/no/such/file',
    '{"token_ids":[-1]}',
    '{"token_ids":[]}',
    '{"prompt":1}',
    '{"max_tokens":"2"}',
  ])('refuses %s', (payload) => {
    expect(() => readProbePayload(payload)).toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    );
  });
});
