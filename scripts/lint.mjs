/** `npm run lint`: every static check. Exported so that `npm test` runs the same list. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { ROOT, SuiteRunner } from './suite-runner.mjs';

const NATIVE = ['--manifest-path', 'native/Cargo.toml'];

/** Adds all static checks to the runner. */
export async function lint(runner) {
  await runner.run('format', ['prettier', '--check', '--log-level', 'warn', '.']);
  await runner.run('types', ['tsc', '-b']);
  for (const folder of ['scripts', 'bench', 'e2e']) {
    await runner.run(`types of ${folder}`, ['tsc', '-p', folder, '--noEmit']);
  }
  // The Nx rule says that it skips, and passes, when no project graph is cached.
  await runner.run('project graph', ['nx', 'show', 'projects']);
  await runner.run('eslint', ['eslint', '--max-warnings', '0', '.'], { forbid: /will be skipped/ });
  await runner.run('dependency direction', [
    'depcruise',
    'libs',
    'apps',
    '--config',
    '.dependency-cruiser.cjs',
  ]);
  await plantedViolations(runner);
  await runner.run('dead code', ['knip']);
  await runner.run('protobuf lint', ['buf', 'lint'], { cwd: join(ROOT, 'libs/protocol') });
  await runner.run('protobuf breaking changes', ['npm', 'run', '-s', 'breaking'], {
    cwd: join(ROOT, 'libs/protocol'),
  });
  await runner.run('rust format', ['cargo', 'fmt', ...NATIVE, '--all', '--check']);
  await runner.run('clippy', [
    'cargo',
    'clippy',
    ...NATIVE,
    '--workspace',
    '--all-targets',
    '--release',
    '--quiet',
    '--',
    '-D',
    'warnings',
  ]);
}

/** Both boundary checks must refuse a base library that imports upwards; else they check nothing. */
async function plantedViolations(runner) {
  const folder = join(ROOT, 'libs/base/src/planted');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'planted-violation.ts');
  writeFileSync(
    file,
    "import { parseEndpointPath } from '@dynamo-ts/protocol';\n/** Planted. */\nexport const planted: unknown = parseEndpointPath;\n",
  );
  try {
    // By the name of the rule: a tool that fails for another reason has not seen the violation.
    await runner.run('eslint refuses a planted violation', [
      'sh',
      '-c',
      `eslint ${file} | grep @nx/enforce-module-boundaries`,
    ]);
    await runner.run('dependency-cruiser refuses a planted violation', [
      'sh',
      '-c',
      'depcruise libs/base --config .dependency-cruiser.cjs | grep "error base-imports-only"',
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const runner = new SuiteRunner();
  await lint(runner);
  runner.close();
}
