import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { describe, expect, it } from 'vitest';

/** Runs a service whose `close` is the given code in a process of its own. */
function startService(close: string, shutdownTimeoutMs = 10_000) {
  const script = `
    import { runService } from ${JSON.stringify(new URL('./run-service.ts', import.meta.url).href)};
    const timer = setInterval(() => {}, 1000);
    process.exitCode = await runService(
      { start: async () => { console.log('up'); ${close === 'fail' ? 'throw new Error()' : ''} },
        close: async () => { console.log('closing'); ${close === 'fail' ? '' : close}; clearInterval(timer); } },
      { shutdownTimeoutMs: ${shutdownTimeoutMs}, onError: (error, what) => console.log('failed', what) });`;
  return spawn(
    process.execPath,
    ['--conditions=@dynamo-ts/source', '--input-type=module', '-e', script],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
}

describe('runService', () => {
  it('closes the service on a signal and ends with 0', async () => {
    const child = startService('');
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it('ends with 70 when the stop takes too long', async () => {
    const child = startService('await new Promise(() => {})', 100);
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([70, null]);
  });

  it('leaves at once on the second signal', async () => {
    const child = startService('await new Promise(() => {})');
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([143, null]);
  });

  it('closes what a failed start left and ends with 1', async () => {
    const child = startService('fail');
    expect(await once(child, 'exit')).toEqual([1, null]);
  });
});
