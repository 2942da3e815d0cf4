import { defineConfig } from 'vitest/config';

/** Suites that need containers or a real engine; `.ci/run` starts them after `npm test`. */
export default defineConfig({
  resolve: { conditions: ['@dynamo-ts/source', 'node'] },
  ssr: { resolve: { conditions: ['@dynamo-ts/source', 'node'] } },
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 900_000,
    fileParallelism: false,
    execArgv: ['--conditions=@dynamo-ts/source'],
  },
});
