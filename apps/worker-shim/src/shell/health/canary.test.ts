import { DynamoError } from '@dynamo-ts/base';
import { GenerateRequest } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { ResponseSink } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { FakeClock } from '@dynamo-ts/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Engine } from '../../engines/engine.ts';
import { Canary } from './canary.ts';
import { GenerateHandler } from '../generate-handler.ts';
import { ProbeSink } from './probe-sink.ts';

const ENDPOINT = { namespace: 'dynamo', component: 'backend', endpoint: 'generate' };

describe('Canary', () => {
  let clock: FakeClock;
  let canary: Canary;
  let handler: GenerateHandler;
  const sinks: ResponseSink[] = [];
  const onStatus = vi.fn();
  const generate = vi.fn<Engine['generate']>();

  beforeEach(() => {
    clock = new FakeClock();
    sinks.length = 0;
    onStatus.mockReset();
    generate.mockReset().mockImplementation((_request, sink) => void sinks.push(sink));
    const engine = { generate, load: () => [] } as Partial<Engine> as Engine;
    handler = new GenerateHandler({ engine, logger: nullLogger });
    handler.resume();
    canary = new Canary({
      handler,
      endpoint: ENDPOINT,
      probe: GenerateRequest.encode(GenerateRequest.fromPartial({ probe: true })).finish(),
      onStatus,
      waitMs: 10_000,
      timeoutMs: 50,
      busyStallMs: 30_000,
      logger: nullLogger,
      clock,
    });
    canary.start();
  });

  afterEach(async () => {
    await canary.close();
  });

  /** A client's request; its sink is the last of `sinks`. */
  function serve(): void {
    const payload = GenerateRequest.encode(GenerateRequest.fromPartial({})).finish();
    void handler.handle({ endpoint: ENDPOINT, context: new Context(), payload }, new ProbeSink());
  }

  it('asks an idle engine for a token and says nothing while it answers', async () => {
    generate.mockImplementation((_request, sink) => {
      sink.write(new Uint8Array());
      sink.end();
    });
    await clock.advance(20_000);
    expect(generate).toHaveBeenCalledTimes(2);
    expect(generate.mock.calls[0]?.[0]).toMatchObject({ probe: true });
    expect(onStatus).not.toHaveBeenCalled();
  });

  it('is not ready while the engine fails or is silent, and ready again when it answers', async () => {
    generate.mockImplementationOnce((_request, sink) => {
      sink.fail(new DynamoError('backend.error', 'broken'));
    });
    await clock.advance(10_000);
    await vi.waitFor(() => expect(onStatus.mock.calls).toEqual([['notready']]));
    generate.mockImplementationOnce((_request, sink) => {
      sink.write(new Uint8Array());
      sink.end();
    });
    await clock.advance(10_000);
    await vi.waitFor(() => expect(onStatus).toHaveBeenLastCalledWith('ready'));
    await clock.advance(10_000);
    await vi.waitFor(() => expect(onStatus).toHaveBeenLastCalledWith('notready'));
  });

  it('gives a probe up that is not answered', async () => {
    await clock.advance(10_000);
    await vi.waitFor(() => expect(onStatus).toHaveBeenCalledWith('notready'));
    const context = generate.mock.calls[0]?.[2];
    expect(context?.isKilled()).toBe(true);
  });

  it('sends no probe while requests run, and notices when they stall', async () => {
    serve();
    await clock.advance(10_000);
    sinks[0]?.write(new Uint8Array());
    await clock.advance(10_000);
    expect(generate).toHaveBeenCalledOnce();
    expect(onStatus).not.toHaveBeenCalled();
    await clock.advance(30_000);
    expect(onStatus).toHaveBeenCalledWith('notready');
    sinks[0]?.write(new Uint8Array());
    await clock.advance(10_000);
    expect(onStatus).toHaveBeenLastCalledWith('ready');
    expect(generate).toHaveBeenCalledOnce();
  });
});
