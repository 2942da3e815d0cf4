import { COMMON_OPTIONS, SHUTDOWN_OPTIONS, failStart, loadConfig } from '@dynamo-ts/config';
import type { ConfigOf } from '@dynamo-ts/config';

const OPTIONS = { ...COMMON_OPTIONS, ...SHUTDOWN_OPTIONS };

/** Where the processes of this example meet: flags, `DYN_*` variables or `--config FILE`. */
export function loadConfiguration(command: string): ConfigOf<typeof OPTIONS> {
  try {
    const { config, help } = loadConfig(OPTIONS, {
      argv: process.argv.slice(2),
      env: process.env,
      command,
      summary: 'Hello world on the bare runtime.',
    });
    if (help === undefined) return config;
    process.stdout.write(help);
    process.exit(0);
  } catch (error) {
    failStart(error, command);
  }
}
