/** `npm test`: sets everything up, then runs every static check and every test that needs no container. */
import { lint } from './lint.mjs';
import { setup } from './setup.mjs';
import { SuiteRunner } from './suite-runner.mjs';

await setup();
const runner = new SuiteRunner();
await runner.run('test models', ['node', 'scripts/test-models.mjs']);
await lint(runner);
await runner.run(
  'rust tests',
  ['cargo', 'test', '--manifest-path', 'native/Cargo.toml', '--workspace', '--release', '--quiet'],
  { kind: 'cargo' },
);
await runner.run('unit and integration tests', ['vitest', 'run', '--typecheck'], {
  kind: 'vitest',
});
runner.close();
