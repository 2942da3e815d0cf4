import { loadConfig } from '@dynamo-ts/config';
import { describe, expect, it } from 'vitest';

import { WORKER_OPTIONS } from '../../config.ts';
import type { EngineFacts } from '../../engines/engine.ts';
import { describeModel } from './model-description.ts';

const FACTS: EngineFacts = {
  modelNames: [],
  input: 'text',
  contextLength: undefined,
  blockSize: 0,
  totalKvBlocks: 0,
  maxSeqs: 0,
  maxBatchedTokens: 0,
  dataParallelSize: 1,
};

function nameOf(engineNames: readonly string[], ...argv: string[]): string {
  const { config } = loadConfig(WORKER_OPTIONS, { argv, env: {}, command: 'test', summary: '' });
  return describeModel(config, 'openai', { ...FACTS, modelNames: engineNames }).name;
}

describe('the name of a model', () => {
  it.each([
    ['org/tiny', 'org/tiny'],
    ['gpt-oss:20b', 'gpt-oss:20b'],
    ['/models/SmolLM2.Q4_1.gguf', 'SmolLM2.Q4_1'],
    ['SmolLM2.Q4_1.gguf', 'SmolLM2.Q4_1'],
    ['/models/Qwen3-0.6B', 'Qwen3-0.6B'],
    ['./here/Qwen3-0.6B', 'Qwen3-0.6B'],
  ])('of an engine that says %s is %s', (engineName, name) => {
    expect(nameOf([engineName])).toBe(name);
  });

  it('is what the operator says, else the name of the given file', () => {
    expect(nameOf(['org/tiny'], '--model-path', '/m/Some.gguf')).toBe('Some');
    expect(nameOf(['org/tiny'], '--model-path', '/m/Some.gguf', '--model-name', 'x')).toBe('x');
  });
});
