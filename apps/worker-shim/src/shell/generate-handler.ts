/** The worker's `generate` endpoint: hands requests to the engine and knows which of them are open. */
import { DynamoError } from '@dynamo-ts/base';
import { GenerateRequest } from '@dynamo-ts/protocol';
import type { IncomingRequest, RawHandler, ResponseSink } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

import type { Engine } from '../engines/engine.ts';
import { TrackedSink } from './tracked-sink.ts';
import type { Progress } from './tracked-sink.ts';

/** Requests of one worker. */
export class GenerateHandler {
  readonly #engine: Engine;
  readonly #logger: Logger;
  readonly #open = new Set<TrackedSink>();
  readonly #progress: Progress = { writes: 0 };
  #accepting = false;

  constructor(engine: Engine, logger: Logger) {
    this.#engine = engine;
    this.#logger = logger;
  }

  /** Requests that have not ended. */
  get openCount(): number {
    return this.#open.size;
  }

  /** Items that the engine has written since the start. */
  get writes(): number {
    return this.#progress.writes;
  }

  /** Serves one request; to be given to the request plane. */
  readonly handle: RawHandler = (incoming: IncomingRequest, sink: ResponseSink) => {
    if (!this.#accepting) {
      throw new DynamoError('backend.engine_shutdown', 'the engine of this worker is not running');
    }
    const { context, payload } = incoming;
    const request = decode(payload);
    const tracked = new TrackedSink({
      sink,
      context,
      open: this.#open,
      progress: this.#progress,
      logger: this.#logger,
    });
    try {
      this.#engine.generate(request, tracked, context);
    } catch (error) {
      tracked.fail(error);
    }
  };

  /** The engine answers: requests are taken from now on. */
  resume(): void {
    this.#accepting = true;
  }

  /** The engine is gone: fails all open requests so that they can move, and refuses new ones. Idempotent. */
  abort(message: string): void {
    this.#accepting = false;
    for (const sink of [...this.#open]) {
      sink.fail(new DynamoError('backend.engine_shutdown', message));
    }
  }
}

function decode(payload: Uint8Array): GenerateRequest {
  try {
    return GenerateRequest.decode(payload);
  } catch (error) {
    throw new DynamoError('request.invalid', 'the payload is not a GenerateRequest', {
      cause: error,
    });
  }
}
