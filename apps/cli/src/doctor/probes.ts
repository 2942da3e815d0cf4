/** Ways to look at the machine; none throws. */
import { execFile } from 'node:child_process';
import { connect, createServer } from 'node:net';

const COMMAND_TIMEOUT_MS = 5000;
const CONNECT_TIMEOUT_MS = 1000;

/** First line that a command prints. @returns undefined when it cannot be run or fails */
export async function commandOutput(
  command: string,
  args: readonly string[],
): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: COMMAND_TIMEOUT_MS }, (error, stdout, stderr) => {
      const [line = ''] = `${stdout}${stderr}`.trim().split('\n');
      resolve(error === null ? line : undefined);
    });
  });
}

/** Whether something accepts TCP connections there. */
export async function isReachable(url: string, defaultPort: number): Promise<boolean> {
  const target = URL.parse(url.includes('://') ? url : `tcp://${url}`);
  if (target === null) return false;
  const port = target.port === '' ? defaultPort : Number(target.port);
  return new Promise((resolve) => {
    const socket = connect({ host: target.hostname.replace(/^\[|\]$/g, ''), port });
    const done = (reachable: boolean): void => {
      socket.destroy();
      resolve(reachable);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => done(false));
    socket.once('connect', () => done(true)).once('error', () => done(false));
  });
}

/** Whether a port can be listened on. */
export async function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}
