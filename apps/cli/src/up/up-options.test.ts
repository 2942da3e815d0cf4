import { loadConfig } from '@dynamo-ts/config';
import { describe, expect, it } from 'vitest';

import { UP_OPTIONS, workerEngines } from './up-options.ts';

const enginesOf = (...argv: readonly string[]) =>
  workerEngines(loadConfig(UP_OPTIONS, { argv, env: {}, command: 'up', summary: '' }).config);

const ENGINES = ['--engine=openai', '--engine-url=http://a:1', '--engine-url=http://b:1'];

describe('workerEngines', () => {
  it('are two mockers without addresses, or as many as wanted', () => {
    const plain = { engineUrl: undefined, kvEventsEndpoint: [], kvReplayEndpoint: [] };
    expect(enginesOf()).toEqual([plain, plain]);
    expect(enginesOf('--workers=3')).toHaveLength(3);
    expect(enginesOf('--engine=llama-server')).toEqual([plain]);
  });

  it('give every engine its own address of events', () => {
    const engines = enginesOf(
      ...ENGINES,
      '--kv-events-endpoint=tcp://a:2',
      '--kv-events-endpoint=tcp://b:2',
    );
    expect(engines).toEqual([
      { engineUrl: 'http://a:1', kvEventsEndpoint: ['tcp://a:2'], kvReplayEndpoint: [] },
      { engineUrl: 'http://b:1', kvEventsEndpoint: ['tcp://b:2'], kvReplayEndpoint: [] },
    ]);
  });

  it('give one engine the addresses of all its ranks', () => {
    const [engine] = enginesOf('--kv-events-endpoint=tcp://a:2,tcp://a:3', '--workers=1');
    expect(engine?.kvEventsEndpoint).toEqual(['tcp://a:2', 'tcp://a:3']);
  });

  it('refuse addresses that do not go round', () => {
    expect(() => enginesOf(...ENGINES, '--kv-events-endpoint=tcp://a:2')).toThrow(
      '--kv-events-endpoint is given 1 times for 2 engines',
    );
  });
});
