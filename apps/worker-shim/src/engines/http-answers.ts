/**
 * Carries an HTTP engine's event streams into the sinks of their requests.
 *
 * Guarantees: a stopped request closes its connection at once; a slow caller slows the reading of its own stream only;
 * every sink is ended or failed once; a stream that ends without a finish reason fails with `backend.stream_incomplete`.
 */
import { DynamoError, onAbort, raceAbort, toDynamoError } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import type { GenerateResponse } from '@dynamo-ts/protocol';
import { tokenIdsFromBytes } from '@dynamo-ts/protocol';
import type { Context, ResponseSink } from '@dynamo-ts/runtime';

import type { EngineHttp, StreamQuestion } from '../http/engine-http.ts';
import type { ServerSentEvent } from '../http/event-stream-parser.ts';
import { AbortConfirmer } from './abort-confirmer.ts';
import type { EngineWork } from './abort-confirmer.ts';
import type { EngineSink } from './engine.ts';
import type { LoadGuard, LoadTracker } from './load-tracker.ts';
import { CANCELLED_RESPONSE, encodeResponse } from './response-encoding.ts';

/** Fields of a response; the others are unset. */
export type PartialResponse = Partial<GenerateResponse>;

/** Understands one answer of one kind of engine. */
export interface AnswerReader {
  /** What an event says. @throws the error that the engine reports in it */
  read(event: ServerSentEvent): readonly PartialResponse[];
  /** What was still held back when the stream ended. */
  end(): readonly PartialResponse[];
  /** Whether every choice has its finish reason. */
  isFinished(): boolean;
}

/** One request to an HTTP engine. */
export interface HttpQuestion extends StreamQuestion {
  readonly promptTokens: number;
  /** Rank that it was sent to; undefined when the engine chooses. */
  readonly dpRank?: number | undefined;
  readonly reader: AnswerReader;
}

/** Settings of {@link HttpAnswers}. */
export interface HttpAnswersOptions {
  readonly http: EngineHttp;
  readonly load: LoadTracker;
  /** Asks the engine how many requests it has; undefined when it does not tell. */
  readonly readWork: (signal: AbortSignal) => Promise<EngineWork | undefined>;
  readonly clock?: Clock | undefined;
  /** Told when the engine could not be reached, so that its health is looked at now. */
  readonly onUnreachable: () => void;
}

/** How long an engine may take to close a stream that it has finished, before its connection is given up. */
const LINGER_MS = 1000;

/** The answers that are running. */
export class HttpAnswers implements AsyncDisposable {
  readonly #options: HttpAnswersOptions;
  readonly #running = new Map<AbortController, Promise<void>>();
  readonly #confirmer: AbortConfirmer;
  #closed = false;

  constructor(options: HttpAnswersOptions) {
    this.#options = options;
    this.#confirmer = new AbortConfirmer({
      read: options.readWork,
      wanted: () => this.#running.size,
      clock: options.clock,
    });
  }

  /** Starts a request; returns at once. */
  start(question: HttpQuestion, sink: EngineSink, context: Context): void {
    if (this.#closed) throw shutdownError();
    const controller = new AbortController();
    const off = onAbort(context.stopped, () => {
      controller.abort(context.stopped.reason);
    });
    const guard = this.#options.load.begin(question.promptTokens, question.dpRank);
    const done = this.#answer(question, { sink, guard, signal: controller.signal })
      .catch((error: unknown) => {
        this.#fail(error, sink, context);
      })
      .finally(() => {
        off();
        guard.release();
        this.#running.delete(controller);
        // Its connection is closed by now.
        if (controller.signal.aborted && !this.#closed)
          this.#confirmer.confirm((confirmed) => sink.released?.(confirmed));
      });
    this.#running.set(controller, done);
  }

  /** Gives up all requests with `backend.engine_shutdown`. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const controller of this.#running.keys()) controller.abort(shutdownError());
    await Promise.all(this.#running.values());
    await this.#confirmer.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #answer(question: HttpQuestion, to: Destination): Promise<void> {
    const { reader } = question;
    let lingering: NodeJS.Timeout | undefined;
    const linger = new AbortController();
    const off = onAbort(to.signal, () => {
      linger.abort(to.signal.reason);
    });
    try {
      for await (const events of this.#options.http.postEvents(question, linger.signal)) {
        if (reader.isFinished()) continue;
        await write(to, events, reader);
        if (!reader.isFinished()) continue;
        to.sink.end();
        to.guard.release();
        lingering = setTimeout(() => {
          linger.abort();
        }, LINGER_MS);
      }
    } catch (error) {
      if (!reader.isFinished()) throw error;
    } finally {
      off();
      clearTimeout(lingering);
    }
    if (lingering === undefined) finish(to.sink, reader);
  }

  #fail(error: unknown, sink: ResponseSink, context: Context): void {
    if (context.isStopped()) {
      sink.write(CANCELLED_RESPONSE);
      sink.end();
      return;
    }
    const failure = toDynamoError(error, 'backend.error');
    sink.fail(failure);
    if (failure.code === 'backend.engine_shutdown' && !this.#closed) this.#options.onUnreachable();
  }
}

interface Destination {
  readonly sink: ResponseSink;
  readonly guard: LoadGuard;
  readonly signal: AbortSignal;
}

async function write(
  to: Destination,
  events: readonly ServerSentEvent[],
  reader: AnswerReader,
): Promise<void> {
  let hasCredit = true;
  for (const event of events) {
    for (const response of reader.read(event)) {
      to.guard.addTokens(tokenCount(response));
      hasCredit = to.sink.write(encodeResponse(response));
    }
  }
  if (!hasCredit && !reader.isFinished()) await raceAbort(to.sink.drained(), to.signal);
}

function finish(sink: ResponseSink, reader: AnswerReader): void {
  for (const response of reader.end()) sink.write(encodeResponse(response));
  if (!reader.isFinished()) {
    throw new DynamoError(
      'backend.stream_incomplete',
      'the engine ended its answer without saying why; the request can move to another instance',
    );
  }
  sink.end();
}

/** Tokens that a response carries; text without ids counts as one. */
function tokenCount(response: PartialResponse): number {
  if (response.tokenIdsLe !== undefined) return tokenIdsFromBytes(response.tokenIdsLe).length;
  return response.text === undefined || response.text === '' ? 0 : 1;
}

function shutdownError(): DynamoError {
  return new DynamoError('backend.engine_shutdown', 'the engine is stopping');
}
