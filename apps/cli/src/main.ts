/** The `dynamo` command: picks the command and hands over. */
import { failStart } from '@dynamo-ts/config';

import { runCommand } from './commands.ts';

try {
  await runCommand(process.argv.slice(2), process.env);
} catch (error) {
  failStart(error, 'dynamo');
}
