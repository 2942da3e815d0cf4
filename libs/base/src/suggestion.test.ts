import { expect, it } from 'vitest';

import { suggestion } from './suggestion.ts';

it.each([
  ['--wrokers', "; did you mean '--workers'?"],
  ['--por', "; did you mean '--port'?"],
  ['--prot', "; did you mean '--port'?"],
  ['--queue-policy', "; did you mean '--router-queue-policy'?"],
  ['--router', "; did you mean '--router-queue-policy'?"],
  ['--queue', ''],
  ['--zork', ''],
  ['-v', ''],
])('suggests only what is close: %s', (name, text) => {
  const known = ['--port', '-h', '--workers', '--router-queue-policy', '--router-queue-threshold'];
  expect(suggestion(name, known)).toBe(text);
});
