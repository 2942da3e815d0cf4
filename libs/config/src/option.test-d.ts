import { expectTypeOf, it } from 'vitest';

import { defineOptions, option } from './option.ts';
import type { ConfigOf } from './option.ts';

it('a value is undefined only when its option has no default', () => {
  const _options = defineOptions({
    a: option.string({ flag: 'a', help: 'h' }),
    b: option.string({ flag: 'b', help: 'h', default: 'x' }),
    c: option.choice({ flag: 'c', help: 'h', choices: ['x', 'y'], default: 'x' }),
    d: option.choice({ flag: 'd', help: 'h', choices: ['x', 'y'] }),
    e: option.boolean({ flag: 'e', help: 'h' }),
    f: option.list({ flag: 'f', help: 'h' }),
    g: option.duration({ flag: 'g', help: 'h', unit: 's', default: 1 }),
  });
  expectTypeOf<ConfigOf<typeof _options>>().toEqualTypeOf<{
    readonly a: string | undefined;
    readonly b: string;
    readonly c: 'x' | 'y';
    readonly d: 'x' | 'y' | undefined;
    readonly e: boolean;
    readonly f: readonly string[];
    readonly g: number;
  }>();
});
