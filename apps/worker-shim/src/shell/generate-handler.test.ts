import { FinishReason, GenerateRequest, GenerateResponse } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { ResponseSink } from '@dynamo-ts/runtime';
import { MetricsRegistry, nullLogger } from '@dynamo-ts/telemetry';
import { beforeEach, describe, expect, it } from 'vitest';

import type { Engine, EngineLoad, EngineSink } from '../engines/engine.ts';
import { CancellationMeter } from './cancellation-meter.ts';
import { GenerateHandler } from './generate-handler.ts';

const ENDPOINT = { namespace: 'dynamo', component: 'backend', endpoint: 'generate' };

/** Keeps what is written; its credit is given by the test. */
class CollectingSink implements ResponseSink {
  readonly responses: GenerateResponse[] = [];
  readonly credit = Promise.withResolvers<undefined>();
  hasCredit = true;
  failure: unknown;

  write(item: Uint8Array): boolean {
    this.responses.push(GenerateResponse.decode(item));
    return this.hasCredit;
  }

  async drained(): Promise<void> {
    await this.credit.promise;
  }

  end(): void {}

  fail(error: unknown): void {
    this.failure = error;
  }
}

describe('GenerateHandler', () => {
  let metrics: MetricsRegistry;
  let handler: GenerateHandler;
  let given: EngineSink[];
  let waitingInEngine: number;
  let activeInEngine: number;

  function create(limits?: { running: number; waiting: number }): void {
    const generate = (_request: GenerateRequest, sink: EngineSink, context: Context): void => {
      given.push(sink);
      context.stopped.addEventListener('abort', () => sink.end());
    };
    const load = () =>
      [{ activeRequests: activeInEngine, waitingRequests: waitingInEngine }] as EngineLoad[];
    const engine = { kind: 'mocker', generate, load } as Partial<Engine> as Engine;
    const cancellations = new CancellationMeter(metrics, { workerId: 'w', engine: 'mocker' });
    handler = new GenerateHandler({ engine, logger: nullLogger, limits, cancellations });
    handler.resume();
  }

  function ask() {
    const context = new Context();
    const sink = new CollectingSink();
    const payload = GenerateRequest.encode(GenerateRequest.fromPartial({})).finish();
    void handler.handle({ endpoint: ENDPOINT, context, payload }, sink);
    return { context, sink };
  }

  async function observed(phase: string): Promise<string | undefined> {
    const page = await metrics.text();
    const name = 'dynamo_component_cancellation_latency_seconds_count';
    const line = page
      .split('\n')
      .find((each) => each.startsWith(name) && each.includes(`"${phase}"`));
    return line?.split(' ').at(-1);
  }

  beforeEach(() => {
    metrics = new MetricsRegistry();
    given = [];
    waitingInEngine = 0;
    activeInEngine = 2;
  });

  it('gives the engine no more than its limit, lets the next wait in order, and refuses the rest', () => {
    create({ running: 1, waiting: 2 });
    ask();
    ask();
    ask();
    expect(() => ask()).toThrow(
      expect.objectContaining({ code: 'capacity.worker_overloaded', retryable: true }),
    );
    expect(given).toHaveLength(1);
    expect(handler.owed()).toMatchObject([{ begun: false }]);
    given[0]?.end();
    expect(given).toHaveLength(2);
    ask();
    expect(() => ask()).toThrow();
    given[1]?.end();
    given[2]?.end();
    given[3]?.end();
    expect(handler.openCount).toBe(0);
  });

  it('ends a waiting request that is given up; the engine never sees it', async () => {
    create({ running: 1, waiting: 2 });
    ask();
    const { context, sink } = ask();
    context.kill();
    expect(handler.openCount).toBe(1);
    expect(sink.responses.at(-1)?.finishReason).toBe(FinishReason.FINISH_REASON_CANCELLED);
    given[0]?.end();
    expect(given).toHaveLength(1);
    expect(await observed('queued')).toBe('1');
  });

  it('fails waiting requests too when the engine dies, and starts none of them', () => {
    create({ running: 1, waiting: 2 });
    const running = ask();
    const waiting = ask();
    handler.abort('gone');
    for (const { sink } of [running, waiting])
      expect(sink.failure).toMatchObject({ code: 'backend.engine_shutdown' });
    expect(given).toHaveLength(1);
  });

  it('measures from the leaving to the confirmation, by what the engine did with the request', async () => {
    create();
    const decoding = ask();
    given[0]?.write(GenerateResponse.encode(GenerateResponse.fromPartial({})).finish());
    const prefilling = ask();
    const queued = ask();
    waitingInEngine = 1;
    for (const { context } of [decoding, prefilling, queued])
      context.kill('client-gone', Date.now() - 2000);
    expect(await observed('decode')).toBe('0');
    for (const sink of given) {
      sink.released?.();
      sink.released?.();
    }
    for (const phase of ['queued', 'prefill', 'decode']) expect(await observed(phase)).toBe('1');
    const page = await metrics.text();
    const sum = /latency_seconds_sum\{[^}]*decode[^}]*\} (\S+)/.exec(page)?.[1];
    expect(Number(sum)).toBeGreaterThanOrEqual(2);
    expect(Number(sum)).toBeLessThan(3);
  });

  it('takes the first request of an engine that runs nothing for one in prefill', async () => {
    create();
    activeInEngine = 0;
    waitingInEngine = 2;
    const asked = [ask(), ask()];
    for (const { context } of asked) context.kill();
    for (const sink of given) sink.released?.();
    expect(await observed('prefill')).toBe('1');
    expect(await observed('queued')).toBe('1');
  });

  it('counts what the engine did not confirm apart, and nothing of what ended by itself', async () => {
    create();
    const { context } = ask();
    context.stopGenerating();
    given[0]?.released?.(false);
    ask();
    given[1]?.end();
    given[1]?.released?.();
    expect(await observed('prefill')).toBe('0');
    expect(await metrics.text()).toMatch(/cancellation_unconfirmed_total\{[^}]*prefill[^}]*\} 1/);
  });

  it('owes nothing to callers that do not read', async () => {
    create();
    const { sink } = ask();
    sink.hasCredit = false;
    given[0]?.write(new Uint8Array());
    expect(handler.owed()).toEqual([]);
    const waiting = given[0]?.drained();
    sink.credit.resolve(undefined);
    await waiting;
    expect(handler.owed()).toMatchObject([{ begun: true, writes: 1 }]);
  });
});
