import { expect, it } from 'vitest';

import { KV_ROUTER_OPTIONS } from './kv-router-options.ts';
import { misspeltLines, unknownVariables } from './environment-check.ts';

const meantBy = (name: string): string | undefined =>
  unknownVariables({ [name]: '1' }, KV_ROUTER_OPTIONS)[0]?.meant;

it.each([
  ['DYN_HTTP_PROT', 'DYN_HTTP_PORT'],
  ['DYN_HTTPPORT', 'DYN_HTTP_PORT'],
  ['DYNAMO_HTTP_PORT', 'DYN_HTTP_PORT'],
  ['DYN_ROUTER_MOD', 'DYN_ROUTER_MODE'],
  ['DYN_DISCOVREY_BACKND', 'DYN_DISCOVERY_BACKEND'],
  ['DYN_ROUTER_KV_EVENTS', 'DYN_ROUTER_USE_KV_EVENTS'],
])('knows what was meant by %s', (name, meant) => expect(meantBy(name)).toBe(meant));

it.each([
  'DYN_LORA',
  'DYN_HTTP_SVC_EMB_PATH',
  'DYN_REQUEST_TRACE',
  'DYN_KVBM_CPU_CACHE_GB',
  'DYN_AIC',
])('does not take %s of the reference for a misspelling', (name) =>
  expect(meantBy(name)).toBeUndefined(),
);

it('leaves alone what is known, what is empty, and what has nothing to do with it', () => {
  const env = { DYN_HTTP_PORT: '1', DYN_HTTP_PROT: '', HTTP_PROT: '1', DYN_TEST_X: '1' };
  expect(unknownVariables(env, {})).toEqual([]);
});

it('tells one line each, without values', () => {
  const env = { DYN_HTTP_PROT: 'secret', DYN_KVBM: '1' };
  expect(misspeltLines(env, {})).toEqual([
    'the environment variable DYN_HTTP_PROT is not known and has no effect; did you mean DYN_HTTP_PORT?',
  ]);
});
