import { createServer } from 'node:net';

import { DynamoError } from '@dynamo-ts/base';

/** A TCP port of this machine's loopback that nothing listens on right now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') {
    throw new DynamoError('runtime.internal', 'the system gave no port');
  }
  return address.port;
}
