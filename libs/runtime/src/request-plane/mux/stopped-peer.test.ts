/** Peers that stand still without a word, as a suspended container or a cut-off machine does. */
import { fileURLToPath } from 'node:url';

import { asInstanceId, createInstanceId } from '@dynamo-ts/base';
import { nullLogger } from '@dynamo-ts/telemetry';
import { NodeProgram, eventually } from '@dynamo-ts/testing';
import { describe, expect, it } from 'vitest';

import { Context } from '../../context.ts';
import type { RawHandler, RawResponse, RequestTarget } from '../request-plane.ts';
import { GrpcRequestPlane } from './grpc-request-plane.ts';

const PEER = fileURLToPath(new URL('mux-peer.fixture.ts', import.meta.url));
const ENDPOINT = { namespace: 'test', component: 'backend', endpoint: 'generate' };
/** A ping every 10 s, which must be answered within 5 s, and a machine that is busy. */
const NOTICED_WITHIN_MS = 20_000;

async function serve(plane: GrpcRequestPlane, handler: RawHandler): Promise<RequestTarget> {
  const instanceId = createInstanceId();
  const { transport } = await plane.serve({ endpoint: ENDPOINT, instanceId }, handler);
  return { endpoint: ENDPOINT, instanceId, transport };
}

async function peerTarget(peer: NodeProgram): Promise<RequestTarget> {
  await eventually(() => peer.lines.length > 0);
  const [address = '', id = '0'] = (peer.lines[0] ?? '').split(' ');
  const transport = { kind: { $case: 'grpc', value: address } } as const;
  return { endpoint: ENDPOINT, instanceId: asInstanceId(BigInt(id)), transport };
}

async function open(plane: GrpcRequestPlane, target: RequestTarget): Promise<RawResponse> {
  return plane.open(target, { payload: new Uint8Array(), context: new Context() });
}

describe.concurrent('a peer that is stopped', () => {
  it(
    'is noticed as a server as soon as it does not accept a request',
    { timeout: 60_000 },
    async () => {
      await using peer = NodeProgram.start(PEER, { args: ['serve'] });
      await using client = new GrpcRequestPlane({ logger: nullLogger, acceptTimeoutMs: 500 });
      const stopped = await peerTarget(peer);
      const response = await open(client, stopped);
      await response.nextBatch();
      peer.signal('SIGSTOP');
      const broken = response
        .nextBatch()
        .catch((error: unknown) => ({ error, ms: performance.now() }));
      await expect(open(client, stopped)).rejects.toMatchObject({ code: 'transport.timeout' });
      const timedOutMs = performance.now();
      const noticed = await broken;
      expect(noticed).toMatchObject({ error: { code: 'transport.disconnected', retryable: true } });
      // At once, and not with the ping, which takes 10 to 15 s.
      expect((noticed as { ms: number }).ms - timedOutMs).toBeLessThan(5000);
      peer.signal('SIGCONT');
      await client.reachable(stopped, { signal: AbortSignal.timeout(10_000) });
      await (await open(client, stopped)).nextBatch();
    },
  );

  it(
    'is noticed by keep-alive as a server when nothing is asked of it, and holds nobody else meanwhile',
    { timeout: 60_000 },
    async () => {
      await using peer = NodeProgram.start(PEER, { args: ['serve'] });
      await using client = new GrpcRequestPlane({ logger: nullLogger });
      await using server = new GrpcRequestPlane({ logger: nullLogger, host: '127.0.0.1' });
      const other = await serve(server, (_request, sink) => {
        sink.write(new Uint8Array(1));
        sink.end();
      });
      const stopped = await peerTarget(peer);
      const response = await open(client, stopped);
      await response.nextBatch();
      peer.signal('SIGSTOP');
      const stoppedMs = performance.now();
      const noticed = new AbortController();
      const broken = expect(response.nextBatch())
        .rejects.toMatchObject({ code: 'transport.disconnected', retryable: true })
        .finally(() => {
          noticed.abort();
        });
      let slowestMs = 0;
      while (!noticed.signal.aborted) {
        const askedMs = performance.now();
        const answer = await open(client, other);
        while ((await answer.nextBatch()) !== undefined);
        slowestMs = Math.max(slowestMs, performance.now() - askedMs);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await broken;
      expect(performance.now() - stoppedMs).toBeLessThan(NOTICED_WITHIN_MS);
      expect(slowestMs).toBeLessThan(1000);
      peer.signal('SIGCONT');
      await client.reachable(stopped, { signal: AbortSignal.timeout(10_000) });
      await (await open(client, stopped)).nextBatch();
    },
  );

  it(
    'is noticed by keep-alive as a client, whose requests are killed',
    { timeout: 60_000 },
    async () => {
      await using server = new GrpcRequestPlane({ logger: nullLogger, host: '127.0.0.1' });
      let killedMs = 0;
      const target = await serve(server, (request, sink) => {
        request.context.killed.addEventListener('abort', () => {
          killedMs = performance.now();
        });
        sink.write(new Uint8Array(1));
      });
      const args = ['call', target.transport.kind?.value ?? '', String(target.instanceId)];
      await using peer = NodeProgram.start(PEER, { args });
      await eventually(() => peer.lines.includes('answered'));
      peer.signal('SIGSTOP');
      const stoppedMs = performance.now();
      await eventually(() => killedMs > 0, { timeoutMs: 30_000 });
      expect(killedMs - stoppedMs).toBeLessThan(NOTICED_WITHIN_MS);
    },
  );
});
