/** A process that writes decisions until it is stopped: `PATH NAME`. It tells its file, and how many lines are in it. */
import { nullLogger } from '@dynamo-ts/telemetry';

import { DecisionFile } from './decision-file.ts';

const [path = '', name = ''] = process.argv.slice(2);
const PADDING = 'x'.repeat(200);

await using file = DecisionFile.open({ path, maxBytes: 20_000, keep: 1000, logger: nullLogger });
process.stdout.write(`${file.path}\n`);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
let count = 0;
while (!stop.signal.aborted) {
  await file.append(`${JSON.stringify({ name, count, PADDING })}\n`);
  count += 1;
  if (count % 100 === 0) process.stdout.write(`${count} lines\n`);
}
process.stdout.write(`all ${count}\n`);
