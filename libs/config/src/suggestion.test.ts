import { expect, it } from 'vitest';

import { suggestion } from './suggestion.ts';

it.each([
  ['--wrokers', "; did you mean '--workers'?"],
  ['--por', "; did you mean '--port'?"],
  ['--zork', ''],
])('suggests only what is close: %s', (name, text) => {
  expect(suggestion(name, ['--port', '--workers'])).toBe(text);
});
