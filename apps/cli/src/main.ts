/** The `dynamo` command: picks the command and hands over. */
import { isSystemError, systemErrorText } from '@dynamo-ts/base';
import { failStart } from '@dynamo-ts/config';

import { runCommand } from './commands.ts';

process.stdout.on('error', tellUnwritten);
// There is nowhere to say it; a service goes on.
process.stderr.on('error', () => undefined);

try {
  await runCommand(process.argv.slice(2), process.env);
} catch (error) {
  failStart(error, 'dynamo');
}

/** An answer that is not written has failed, unless its reader has seen enough, as in `dynamo explain … | head`. */
function tellUnwritten(error: Error): void {
  if ('code' in error && error.code === 'EPIPE') return;
  const reason = isSystemError(error) ? systemErrorText(error) : error.message;
  process.stderr.write(`dynamo: cannot write to stdout: ${reason}\n`);
  process.exitCode = 1;
}
