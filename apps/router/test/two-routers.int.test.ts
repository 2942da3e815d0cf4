/** Two router processes of their own, workers and a frontend here; what happens to the routers is what happens in a cluster. */
import { fileURLToPath } from 'node:url';

import { describe, expect, it, vi } from 'vitest';

import {
  GenerateResponse,
  OverlapRequest,
  RouteRequest,
  tokenIdsToBytes,
} from '@dynamo-ts/protocol';
import { Dispatcher, LocalRouter, RemoteRouter } from '@dynamo-ts/routing';
import { Context } from '@dynamo-ts/runtime';
import type { Client, RawHandler } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { NodeProgram, eventually } from '@dynamo-ts/testing';

import { GrpcCaller } from './grpc-caller.ts';
import { tokens } from './testing-engine.ts';
import { ENDPOINT, Fleet } from './testing-fleet.ts';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const START_MS = 60_000;

/** A router in a process of its own. */
class RouterProcess implements AsyncDisposable {
  readonly program: NodeProgram;

  constructor(folder: string) {
    this.program = NodeProgram.start(MAIN, {
      args: [
        ...['--event-plane', 'direct', '--rpc-host', '127.0.0.1', '--router-grpc-port', '0'],
        ...['--router-block-size', '16', '--log-jsonl', '--graceful-shutdown-grace-period', '0'],
      ],
      env: { DYN_DISCOVERY_BACKEND: 'file', DYN_FILE_KV: folder, DYN_LOG: 'info' },
    });
  }

  /** Its gRPC port, once it is ready. */
  async ready(): Promise<number> {
    let port = 0;
    await eventually(
      () => {
        port = Number(/"grpc_port":"?(\d+)/.exec(this.program.stderr)?.[1] ?? 0);
        return port > 0;
      },
      { timeoutMs: START_MS },
    );
    return port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A stopped process ends by this signal too.
    await this.program.kill();
  }
}

const answering: RawHandler = (_request, sink) => {
  sink.write(GenerateResponse.encode(GenerateResponse.fromPartial({ text: 'ok' })).finish());
  sink.end();
};

interface Frontend extends AsyncDisposable {
  readonly client: Client;
  readonly metrics: MetricsRegistry;
  /** Sends a request; resolves with its duration in milliseconds. */
  ask(): Promise<number>;
}

async function frontendOf(fleet: Fleet): Promise<Frontend> {
  const runtime = await fleet.runtime();
  const client = await runtime.endpoint(ENDPOINT).client();
  const metrics = new MetricsRegistry();
  const fallback = new LocalRouter({ instances: client, routerId: runtime.instanceId });
  const router = await RemoteRouter.connect({
    runtime,
    namespace: 'dynamo',
    instances: client,
    fallback,
    logger: nullLogger,
    metrics,
  });
  const dispatcher = new Dispatcher({ workers: client, router, logger: nullLogger });
  return {
    client,
    metrics,
    ask: async () => {
      const startMs = performance.now();
      const stream = await dispatcher.dispatch({
        payload: new Uint8Array(0),
        context: new Context(),
        blockHashes: BigUint64Array.of(1n, 2n, 3n),
        blockSize: 16,
        promptTokens: 50,
      });
      while ((await stream.nextBatch()) !== undefined);
      return performance.now() - startMs;
    },
    [Symbol.asyncDispose]: async () => {
      await router.close();
      await client.close();
    },
  };
}

async function fallbacks({ metrics }: Frontend): Promise<number> {
  return Number(/placement_fallback_total\{[^}]*\} (\d+)/.exec(await metrics.text())?.[1] ?? 0);
}

describe('two router processes', () => {
  it(
    'answer alike, and nothing fails when one is killed, stopped, or both are',
    { timeout: 180_000 },
    async () => {
      await using fleet = await Fleet.start();
      for (let count = 0; count < 4; count += 1) await fleet.worker(answering);
      await using one = new RouterProcess(fleet.folder);
      await using two = new RouterProcess(fleet.folder);
      const ports = [await one.ready(), await two.ready()];
      await using frontend = await frontendOf(fleet);
      await frontend.client.waitForInstances();

      // Both see the same workers.
      for (const port of ports) {
        using caller = new GrpcCaller(port);
        const tokenIdsLe = Buffer.from(tokenIdsToBytes(Uint32Array.from(tokens(64))));
        const request = RouteRequest.create({
          requestId: 'x',
          endpoint: ENDPOINT,
          tokenIdsLe,
          advisory: true,
        });
        const choice = await vi.waitFor(() => caller.ask('route', request), START_MS);
        expect(frontend.client.instanceIds()).toContain(choice.instanceId);
        const overlap = OverlapRequest.create({ endpoint: ENDPOINT, tokenIdsLe });
        expect(await caller.ask('overlap', overlap)).toMatchObject({ blockSize: 16 });
      }
      await vi.waitFor(async () => {
        const before = await fallbacks(frontend);
        await Promise.all(Array.from({ length: 8 }, () => frontend.ask()));
        expect(await fallbacks(frontend)).toBe(before);
      }, START_MS);
      const unplaced = await fallbacks(frontend);

      // One stands still: what waits for it goes on after the time limit, and nothing else ever waits for it.
      two.program.signal('SIGSTOP');
      const during = await Promise.all(Array.from({ length: 20 }, () => frontend.ask()));
      expect(Math.max(...during)).toBeLessThan(5000);
      const after: number[] = [];
      for (let at = 0; at < 100; at += 1) after.push(await frontend.ask());
      // Whoever waited for it would have waited for the whole time limit.
      expect(after.filter((ms) => ms > 900)).toEqual([]);
      expect(await fallbacks(frontend)).toBe(unplaced);

      // It goes on, and is asked again.
      two.program.signal('SIGCONT');
      // The other one dies in the middle of it all.
      const storm = Promise.all(Array.from({ length: 200 }, () => frontend.ask()));
      await one.program.kill();
      await storm;
      await vi.waitFor(async () => {
        const before = await fallbacks(frontend);
        await frontend.ask();
        expect(await fallbacks(frontend)).toBe(before);
      }, 20_000);

      // None is left: placed here, and said so.
      await two.program.kill();
      const alone = await fallbacks(frontend);
      await Promise.all(Array.from({ length: 20 }, () => frontend.ask()));
      expect(await fallbacks(frontend)).toBeGreaterThan(alone);
    },
  );
});
