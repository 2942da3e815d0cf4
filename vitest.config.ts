import { defineConfig } from 'vitest/config';

export default defineConfig({
  ssr: { resolve: { conditions: ['@dynamo-ts/source', 'node', 'import'] } },
  resolve: { conditions: ['@dynamo-ts/source', 'node', 'import'] },
  test: {
    include: [
      'libs/*/src/**/*.test.ts',
      'libs/*/test/**/*.test.ts',
      'apps/*/src/**/*.test.ts',
      'apps/*/test/**/*.int.test.ts',
      'examples/*/test/**/*.test.ts',
      'scripts/**/*.test.ts',
    ],
    typecheck: { include: ['**/*.test-d.ts'] },
    pool: 'forks',
    execArgv: ['--conditions=@dynamo-ts/source'],
  },
});
