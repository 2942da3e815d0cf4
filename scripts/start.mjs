/**
 * `npm start -- <flags>`: sets the checkout up and runs `dynamo up <flags>` on the packaged Node 24.
 * Signals and the exit code pass through; when this process is killed, `dynamo` notices the closed channel and stops.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';

import { ROOT, setup } from './setup.mjs';

/** Flags of `dynamo up` that people write first; npm keeps what stands before `--` and says little about it. */
const FIRST_FLAGS = [
  'config',
  'engine',
  'engine-url',
  'http-host',
  'http-port',
  'model',
  'model-path',
  'port',
  'processes',
  'router-mode',
  'speedup-ratio',
  'workers',
];
const kept = FIRST_FLAGS.filter((flag) => `npm_config_${flag.replaceAll('-', '_')}` in process.env);
if (kept.length > 0) {
  const flags = kept.map((flag) => `--${flag}`).join(', ');
  process.stderr.write(
    `npm has kept ${flags} for itself; flags stand after two dashes: npm start -- --${kept[0]} …\n`,
  );
  process.exit(1);
}

await setup();
const bin = join(ROOT, 'node_modules/.bin');
const child = spawn(
  join(bin, 'node'),
  [
    '--conditions=@dynamo-ts/source',
    join(ROOT, 'apps/cli/bin/dynamo.js'),
    'up',
    ...process.argv.slice(2),
  ],
  { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] },
);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  process.stderr.write(
    `cannot run the packaged Node 24 (${error.message}): remove node_modules and run npm start again\n`,
  );
  process.exit(1);
});
child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
});
