import { deadlineSignal, raceAbort } from '@dynamo-ts/base';
import type { EndpointPath } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';

import type { GenerateHandler } from '../generate-handler.ts';
import { ProbeSink } from './probe-sink.ts';

/** What an engine is asked, through whom. */
export interface EngineProbe {
  readonly handler: GenerateHandler;
  readonly endpoint: EndpointPath;
  /** An encoded request for one token. */
  readonly probe: Uint8Array;
  /** Longest time for the first answer. */
  readonly timeoutMs: number;
}

/** Asks the engine for one token. @throws what it fails with, `request.deadline_exceeded` when it is silent */
export async function probeEngine(
  { endpoint, handler, probe, timeoutMs }: EngineProbe,
  signal?: AbortSignal,
): Promise<void> {
  const context = new Context();
  const sink = new ProbeSink();
  try {
    await handler.handle({ endpoint, context, payload: probe }, sink);
    await raceAbort(sink.answered, deadlineSignal(timeoutMs, signal));
  } finally {
    context.kill('superseded');
  }
}
