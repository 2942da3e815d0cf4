import { option } from '@dynamo-ts/config';
import { expect, it } from 'vitest';

import { wordsAsFlags } from './command-words.ts';

const OPTIONS = {
  log: option.list({ flag: 'log', short: 'l', aliases: ['file'], help: '' }),
  json: option.boolean({ flag: 'json', help: '' }),
};

it.each([
  [
    ['a', 'b'],
    ['--log=a', '--log=b'],
  ],
  [
    ['--json', 'a'],
    ['--json', '--log=a'],
  ],
  [
    ['--log', 'a', 'b'],
    ['--log', 'a', '--log=b'],
  ],
  [
    ['-l', 'a', '--file', 'b', '--config', 'c', 'd'],
    ['-l', 'a', '--file', 'b', '--config', 'c', '--log=d'],
  ],
  [
    ['--log=a', 'b', '--help'],
    ['--log=a', '--log=b', '--help'],
  ],
])('reads the words of %j', (argv, expected) => {
  expect(wordsAsFlags(argv, OPTIONS, (word) => `--log=${word}`)).toEqual(expected);
});
