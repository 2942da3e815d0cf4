/** The `dynamo` command: picks the command and hands over. */
import { failStart } from '@dynamo-ts/config';

import { runCommand } from './commands.ts';

// A reader that has seen enough, as in `dynamo explain … | head`.
process.stdout.on('error', ignoreClosed);

try {
  await runCommand(process.argv.slice(2), process.env);
} catch (error) {
  failStart(error, 'dynamo');
}

function ignoreClosed(error: Error): void {
  if (!('code' in error) || error.code !== 'EPIPE') throw error;
}
