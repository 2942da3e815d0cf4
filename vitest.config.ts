import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Not "import": the runner passes these to Node, whose require() would then load the ES modules of dual packages,
  // and protobufjs would silently round 64-bit numbers because it cannot use its `long` package.
  ssr: { resolve: { conditions: ['@dynamo-ts/source', 'node'] } },
  resolve: { conditions: ['@dynamo-ts/source', 'node'] },
  test: {
    include: [
      'libs/*/src/**/*.test.ts',
      'libs/*/test/**/*.test.ts',
      'apps/*/src/**/*.test.ts',
      'apps/*/test/**/*.int.test.ts',
      'examples/*/test/**/*.test.ts',
      'scripts/**/*.test.ts',
      'native/node/test/**/*.test.mjs',
    ],
    typecheck: { include: ['**/*.test-d.ts'] },
    // Generous: a busy machine is slow, and no test waits for a time-out to pass.
    testTimeout: 20_000,
    pool: 'forks',
    execArgv: ['--conditions=@dynamo-ts/source'],
  },
});
