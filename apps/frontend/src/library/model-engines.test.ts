import { ModelDeploymentCard } from '@dynamo-ts/protocol';
import { ModelPreprocessor } from '@dynamo-ts/preprocess';
import { nullLogger, MetricsRegistry } from '@dynamo-ts/telemetry';
import { describe, expect, it } from 'vitest';

import { engineDispatcher } from './engine-dispatcher.ts';
import { ModelEngines } from './model-engines.ts';

function testEngines(): ModelEngines<string> {
  return new ModelEngines((name) => {
    const card = ModelDeploymentCard.create({ displayName: name });
    const telemetry = { logger: nullLogger, metrics: new MetricsRegistry() };
    return {
      name,
      card,
      preprocessor: ModelPreprocessor.forText(card),
      dispatcher: engineDispatcher(() => undefined, telemetry),
      excluded: [],
      release: () => undefined,
    };
  });
}

describe('ModelEngines', () => {
  it('finds engines by exact name and never falls back to the default one', () => {
    const engines = testEngines();
    engines.add('a', 'engine of a');
    expect(engines.get('a')).toBe('engine of a');
    expect(engines.acquire('a').name).toBe('a');
    expect(() => engines.get('b')).toThrow(
      expect.objectContaining({ code: 'request.model_not_found' }),
    );
    expect(() => engines.acquire('A')).toThrow(
      expect.objectContaining({ code: 'request.model_not_found' }),
    );
    expect(engines.canonicalName('b')).toBeUndefined();
  });

  it('has the first engine as default, and another one after its removal', () => {
    const engines = testEngines();
    expect(engines.defaultName).toBeUndefined();
    for (const name of ['a', 'b', 'c']) engines.add(name, name);
    expect(engines.defaultName).toBe('a');
    engines.remove('b');
    expect(engines.defaultName).toBe('a');
    engines.remove('a');
    expect(engines.defaultName).toBe('c');
    engines.remove('c');
    expect(engines.defaultName).toBeUndefined();
    expect(engines.list()).toEqual([]);
  });

  it('refuses a name that is taken and the removal of one that is not', () => {
    const engines = testEngines();
    engines.add('a', 'first');
    expect(() => {
      engines.add('a', 'second');
    }).toThrow(expect.objectContaining({ code: 'request.conflict' }));
    expect(engines.get('a')).toBe('first');
    expect(() => {
      engines.remove('b');
    }).toThrow(expect.objectContaining({ code: 'request.model_not_found' }));
  });
});
