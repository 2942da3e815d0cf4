/**
 * What every request plane must do, run against each backend by the test files beside them.
 *
 * A `PlanePair` is a server process and a client process; in-process backends may use one plane for both.
 */
import { DynamoError, asInstanceId, createInstanceId } from '@dynamo-ts/base';
import type { EndpointPath } from '@dynamo-ts/protocol';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { Context } from '../context.ts';
import type {
  IncomingRequest,
  RawHandler,
  RawResponse,
  RequestPlane,
  RequestTarget,
  ResponseSink,
  ServedTransport,
} from './request-plane.ts';

/** A server and a client that can reach each other. */
export interface PlanePair {
  readonly server: RequestPlane;
  readonly client: RequestPlane;
  /** Breaks the server off as a killed process would: connections end without a word. Undefined when nothing can break. */
  readonly sever?: () => Promise<void>;
  /** A new server where the severed one was, so that the old addresses reach it. */
  readonly restart?: () => Promise<RequestPlane>;
  readonly close: () => Promise<void>;
}

const ENDPOINT: EndpointPath = { namespace: 'test', component: 'backend', endpoint: 'generate' };
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);
const patient = { timeout: 10_000, interval: 5 };

/** Reads an answer to its end. */
async function readAll(response: RawResponse): Promise<Uint8Array[]> {
  const items: Uint8Array[] = [];
  for await (const item of response) items.push(item);
  return items;
}

/** Registers the suite for one backend. */
export function requestPlaneContract(name: string, create: () => Promise<PlanePair>): void {
  describe(`request plane contract: ${name}`, () => {
    let pair: PlanePair | undefined;
    let served: ServedTransport | undefined;

    async function serve(handler: RawHandler): Promise<RequestTarget> {
      pair = await create();
      const instanceId = createInstanceId();
      served = await pair.server.serve({ endpoint: ENDPOINT, instanceId }, handler);
      return { endpoint: ENDPOINT, instanceId, transport: served.transport };
    }
    const client = (): RequestPlane => pair!.client;
    const open = (
      target: RequestTarget,
      payload = bytes(''),
      context = new Context(),
    ): Promise<RawResponse> => client().open(target, { payload, context });

    afterEach(async () => {
      await pair?.close();
      pair = undefined;
      served = undefined;
    });

    it('carries payload, headers and request id to the handler and its items back in order', async () => {
      let seen: IncomingRequest | undefined;
      const target = await serve((request, sink) => {
        seen = request;
        for (let index = 0; index < 1000; index++) sink.write(bytes(`item ${index}`));
        sink.end();
      });
      const context = new Context({ headers: { traceparent: 'abc', other: 'ü' } });
      const items = await readAll(await open(target, bytes('hello'), context));
      expect(items.map(text)).toEqual(Array.from({ length: 1000 }, (_, index) => `item ${index}`));
      expect(text(seen!.payload)).toBe('hello');
      expect(seen!.context.id).toBe(context.id);
      expect(seen!.context.headers).toEqual({ traceparent: 'abc', other: 'ü' });
      expect(seen!.endpoint).toEqual(ENDPOINT);
    });

    it('gives what was written together as one batch', async () => {
      const target = await serve((_request, sink) => {
        setImmediate(() => {
          for (let index = 0; index < 5; index++) sink.write(bytes(String(index)));
          sink.end();
        });
      });
      const response = await open(target);
      expect((await response.nextBatch())?.map(text)).toEqual(['0', '1', '2', '3', '4']);
      expect(await response.nextBatch()).toBeUndefined();
    });

    it('delivers an item at once while the handler goes on', async () => {
      const gate = Promise.withResolvers<undefined>();
      const target = await serve(async (_request, sink) => {
        sink.write(bytes('first'));
        await gate.promise;
        sink.end();
      });
      const response = await open(target);
      expect((await response.nextBatch())?.map(text)).toEqual(['first']);
      gate.resolve(undefined);
      expect(await response.nextBatch()).toBeUndefined();
    });

    it('carries 16 MiB both ways', async () => {
      const target = await serve((request, sink) => {
        sink.write(request.payload);
        sink.end();
      });
      const payload = new Uint8Array(16 * 1024 * 1024);
      for (let index = 0; index < payload.length; index += 997) payload[index] = index % 251;
      const [item, ...rest] = await readAll(await open(target, payload));
      expect(rest).toEqual([]);
      expect(Buffer.compare(Buffer.from(item!), Buffer.from(payload))).toBe(0);
    });

    it('carries empty items', async () => {
      const target = await serve((_request, sink) => {
        sink.write(new Uint8Array());
        sink.write(bytes('x'));
        sink.write(new Uint8Array());
        sink.end();
      });
      expect((await readAll(await open(target))).map((item) => item.length)).toEqual([0, 1, 0]);
    });

    it('answers small requests while a large payload is on its way', async () => {
      const order: string[] = [];
      const target = await serve((request, sink) => {
        order.push(request.payload.length > 1000 ? 'large' : 'small');
        sink.end();
      });
      await readAll(await open(target, bytes('warm up')));
      order.length = 0;
      const large = open(target, new Uint8Array(32 * 1024 * 1024));
      const small = open(target, bytes('x'));
      await readAll(await small);
      await readAll(await large);
      if (pair!.client.backend !== 'local') expect(order).toEqual(['small', 'large']);
    });

    it('holds a writer whose reader is slow, and no other', async () => {
      const item = new Uint8Array(64 * 1024);
      const count = 100;
      const written = new Map<string, number>();
      const target = await serve(async (request, sink) => {
        const who = text(request.payload);
        for (let index = 1; index <= count; index++) {
          written.set(who, index);
          if (!sink.write(item)) await sink.drained();
        }
        sink.end();
      });
      const slow = await open(target, bytes('slow'));
      await slow.nextBatch();
      const fast = await Promise.all(
        ['a', 'b', 'c'].map(async (who) => (await readAll(await open(target, bytes(who)))).length),
      );
      expect(fast).toEqual([count, count, count]);
      expect(written.get('slow')).toBeLessThan(count);
      let rest = 0;
      for await (const _ of slow) rest += 1;
      expect(rest).toBeGreaterThan(0);
      expect(written.get('slow')).toBe(count);
    });

    it('stop reaches the handler, and what it still writes is delivered', async () => {
      const target = await serve((request, sink) => {
        sink.write(bytes('one'));
        request.context.stopped.addEventListener('abort', () => {
          expect(request.context.isKilled()).toBe(false);
          sink.write(bytes('last'));
          sink.end();
        });
      });
      const context = new Context();
      const response = await open(target, bytes(''), context);
      await response.nextBatch();
      context.stopGenerating();
      expect((await readAll(response)).map(text)).toEqual(['last']);
    });

    it('kill reaches the handler, ends the answer at once and frees the server', async () => {
      let killed = false;
      const target = await serve((request, sink) => {
        sink.write(bytes('one'));
        request.context.killed.addEventListener('abort', () => {
          killed = true;
        });
      });
      const context = new Context();
      const response = await open(target, bytes(''), context);
      await response.nextBatch();
      const next = response.nextBatch();
      context.kill();
      await expect(next).rejects.toMatchObject({ code: 'request.cancelled' });
      await vi.waitFor(() => {
        expect(killed).toBe(true);
      }, patient);
      await served!.idle();
    });

    it('cancelling the answer kills the request on the server, also from a left loop', async () => {
      const kills: string[] = [];
      const target = await serve((request, sink) => {
        sink.write(bytes('one'));
        request.context.killed.addEventListener('abort', () => {
          kills.push(text(request.payload));
        });
      });
      const first = await open(target, bytes('cancel'));
      first.cancel();
      const second = await open(target, bytes('loop'));
      for await (const _ of second) break;
      await vi.waitFor(() => {
        expect(kills.toSorted()).toEqual(['cancel', 'loop']);
      }, patient);
      await served!.idle();
    });

    it('a kill before open never reaches the handler', async () => {
      const handler = vi.fn((_request: IncomingRequest, sink: ResponseSink) => {
        sink.end();
      });
      const target = await serve(handler);
      const context = new Context();
      context.kill('deadline');
      await expect(open(target, bytes(''), context)).rejects.toMatchObject({
        code: 'request.deadline_exceeded',
      });
      expect(handler).not.toHaveBeenCalled();
    });

    it('a handler that fails at once rejects the request with its code, message and details', async () => {
      const target = await serve(async () => {
        throw new DynamoError('capacity.worker_overloaded', 'at capacity', {
          details: { limit: 3 },
        });
      });
      await expect(open(target)).rejects.toMatchObject({
        code: 'capacity.worker_overloaded',
        message: 'at capacity',
        details: { limit: 3 },
        retryable: true,
      });
    });

    it('a failure in mid-stream comes after the items before it', async () => {
      const target = await serve((_request, sink) => {
        sink.write(bytes('one'));
        sink.fail(new DynamoError('backend.error', 'the engine failed'));
      });
      const response = await open(target);
      const items: string[] = [];
      await expect(
        (async () => {
          for await (const item of response) items.push(text(item));
        })(),
      ).rejects.toMatchObject({ code: 'backend.error', message: 'the engine failed' });
      expect(items).toEqual(['one']);
    });

    it('tells once when an answer has settled, even when nobody reads it', async () => {
      const target = await serve((request, sink) => {
        sink.write(bytes('unread'));
        if (text(request.payload) === 'fail') sink.fail(new DynamoError('backend.error', 'no'));
        else sink.end();
      });
      const settled: (string | undefined)[] = [];
      for (const payload of ['end', 'fail']) {
        await client().open(target, {
          payload: bytes(payload),
          context: new Context(),
          onSettled: (error) => settled.push(error?.code),
        });
      }
      await vi.waitFor(() => {
        expect(settled).toEqual([undefined, 'backend.error']);
      }, patient);
    });

    it('refuse rejects new requests with a retryable error while old ones go on', async () => {
      const gate = Promise.withResolvers<undefined>();
      const target = await serve(async (_request, sink) => {
        sink.write(bytes('one'));
        await gate.promise;
        sink.write(bytes('two'));
        sink.end();
      });
      const old = await open(target);
      served!.refuse();
      await expect(open(target)).rejects.toMatchObject({ retryable: true });
      let idle = false;
      const waiting = served!.idle().then(() => {
        idle = true;
      });
      expect(idle).toBe(false);
      gate.resolve(undefined);
      expect((await readAll(old)).map(text)).toEqual(['one', 'two']);
      await waiting;
    });

    it('closing an endpoint fails what still runs with an error that may migrate', async () => {
      const target = await serve((_request, sink) => {
        sink.write(bytes('one'));
      });
      const response = await open(target);
      await response.nextBatch();
      const next = response.nextBatch();
      await Promise.all([
        served!.close(),
        expect(next).rejects.toMatchObject({ code: 'backend.engine_shutdown', retryable: true }),
      ]);
    });

    it('an instance id that is not served there cannot be connected to', async () => {
      const target = await serve((_request, sink) => {
        sink.end();
      });
      const other = { ...target, instanceId: asInstanceId(target.instanceId ^ 1n) };
      if (client().backend === 'local') return;
      await expect(open(other)).rejects.toMatchObject({ code: 'transport.cannot_connect' });
    });

    it('many requests at once keep their answers apart', async () => {
      const target = await serve(async (request, sink) => {
        for (let index = 0; index < 20; index++) {
          sink.write(bytes(`${text(request.payload)}:${index}`));
          await new Promise((resolve) => setImmediate(resolve));
        }
        sink.end();
      });
      await Promise.all(
        Array.from({ length: 200 }, async (_, who) => {
          const items = await readAll(await open(target, bytes(String(who))));
          expect(items.map(text)).toEqual(
            Array.from({ length: 20 }, (_unused, index) => `${who}:${index}`),
          );
        }),
      );
      await served!.idle();
    });

    it('a killed server fails open answers as disconnected and kills its requests', async () => {
      const target = await serve((_request, sink) => {
        sink.write(bytes('one'));
      });
      if (pair!.sever === undefined) return;
      const response = await open(target);
      await response.nextBatch();
      const next = response.nextBatch();
      await Promise.all([
        pair!.sever(),
        expect(next).rejects.toMatchObject({ code: 'transport.disconnected', retryable: true }),
      ]);
      await expect(open(target)).rejects.toMatchObject({ code: 'transport.cannot_connect' });
    }, 20_000);

    it('a client that goes away kills its requests on the server', async () => {
      let reason: unknown;
      const target = await serve((request, sink) => {
        sink.write(bytes('one'));
        request.context.killed.addEventListener('abort', () => {
          reason = request.context.killed.reason;
        });
      });
      if (pair!.client === pair!.server) return;
      await (await open(target)).nextBatch();
      await pair!.client.close();
      await vi.waitFor(() => {
        expect(reason).toMatchObject({ reason: 'client-gone' });
      }, patient);
    }, 20_000);

    it('a server that restarts at the same address is reachable again, and rejects the old instance id', async () => {
      const target = await serve((_request, sink) => {
        sink.end();
      });
      if (pair!.sever === undefined || pair!.restart === undefined) return;
      await readAll(await open(target));
      await pair!.sever();
      await expect(open(target)).rejects.toMatchObject({ code: 'transport.cannot_connect' });
      const server = await pair!.restart();
      const instanceId = createInstanceId();
      const restarted = await server.serve({ endpoint: ENDPOINT, instanceId }, (_request, sink) => {
        sink.write(bytes('again'));
        sink.end();
      });
      const fresh = { endpoint: ENDPOINT, instanceId, transport: restarted.transport };
      await client().reachable(fresh, { signal: AbortSignal.timeout(10_000) });
      expect((await readAll(await open(fresh))).map(text)).toEqual(['again']);
      await expect(open(target)).rejects.toMatchObject({ code: 'transport.cannot_connect' });
    }, 20_000);
  });
}
