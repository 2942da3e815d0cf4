/**
 * One request on its server: the sink its handler writes to, and the order accept → items → end or error.
 *
 * A failure before the request was accepted rejects it, which is always safe to retry elsewhere; after that it fails the
 * answer. What the handler does after end, failure or kill is ignored.
 */
import type { AbortReason, DynamoError } from '@dynamo-ts/base';

import type { Context } from '../context.ts';
import { handlerError } from './handler-error.ts';
import type { ResponseSink } from './request-plane.ts';

/** Where a plane puts what a handler answers. */
export interface AnswerChannel {
  accept(): void;
  reject(error: DynamoError): void;
  /** Queues an item. @returns false when the caller's credit is used up */
  data(item: Uint8Array): boolean;
  /** Resolves when there is credit again. */
  drained(): Promise<void>;
  end(): void;
  error(error: DynamoError): void;
}

/** What a {@link ServerCall} is made of. */
export interface ServerCallOptions {
  readonly context: Context;
  readonly channel: AnswerChannel;
  /** Called once when nothing more will be answered. */
  readonly onDone: (call: ServerCall) => void;
}

/** A request that a handler works on. */
export class ServerCall implements ResponseSink {
  readonly context: Context;
  readonly #channel: AnswerChannel;
  readonly #onDone: (call: ServerCall) => void;
  #state: 'opening' | 'accepted' | 'done' = 'opening';
  #wakeDrained: (() => void) | undefined;

  constructor(options: ServerCallOptions) {
    this.context = options.context;
    this.#channel = options.channel;
    this.#onDone = options.onDone;
  }

  /** Tells the caller that the handler has the request. */
  accept(): void {
    if (this.#state !== 'opening') return;
    this.#state = 'accepted';
    this.#channel.accept();
  }

  write(item: Uint8Array): boolean {
    if (this.#state === 'done') return true;
    if (this.#state === 'opening') this.accept();
    return this.#channel.data(item);
  }

  async drained(): Promise<void> {
    if (this.#state === 'done') return;
    await new Promise<void>((resolve) => {
      this.#wakeDrained = resolve;
      void this.#channel.drained().then(resolve);
    });
  }

  end(): void {
    if (this.#state === 'done') return;
    this.accept();
    this.#channel.end();
    this.#finish();
  }

  fail(error: unknown): void {
    if (this.#state === 'done') return;
    const failure = handlerError(error);
    if (this.#state === 'opening') this.#channel.reject(failure);
    else this.#channel.error(failure);
    this.#finish();
  }

  /** Ends the request without an answer: its caller is gone or wants no more. */
  kill(reason: AbortReason, sinceUnixMs?: number): void {
    const running = this.#state !== 'done';
    if (running) this.#finish();
    this.context.kill(reason, sinceUnixMs);
  }

  #finish(): void {
    this.#state = 'done';
    this.#wakeDrained?.();
    this.#onDone(this);
  }
}
