import { abortError, abortReasonOf, onAbort } from '@dynamo-ts/base';
import type { DynamoError } from '@dynamo-ts/base';

import type { Context } from '../../context.ts';
import type { OutgoingRequest, RawResponse } from '../request-plane.ts';
import { ResponseBuffer } from '../response-buffer.ts';
import type { AnswerChannel, ServerCall } from '../server-call.ts';

/** What a {@link LocalAnswer} joins. */
export interface LocalAnswerOptions {
  /** The server's context of the request. */
  readonly context: Context;
  readonly request: OutgoingRequest;
  readonly creditBytes: number;
}

/** Joins the handler's sink to the caller's buffer without a wire between them. */
export class LocalAnswer implements AnswerChannel {
  /** Settles when the handler has accepted or rejected the request. */
  readonly accepted: Promise<RawResponse>;
  readonly #context: Context;
  readonly #buffer: ResponseBuffer;
  #unlink: () => void = () => undefined;
  #credit: number;
  #call: ServerCall | undefined;
  #drainWaiters: (() => void)[] = [];
  #resolve: (response: RawResponse) => void = () => undefined;
  #reject: (error: DynamoError) => void = () => undefined;

  constructor({ context, request, creditBytes }: LocalAnswerOptions) {
    this.#context = context;
    this.#credit = creditBytes;
    this.accepted = new Promise<RawResponse>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#buffer = new ResponseBuffer({
      onTaken: (bytes) => {
        this.#addCredit(bytes);
      },
      onCancel: () => this.#call?.kill('superseded'),
      onSettled: (error) => {
        this.#unlink();
        request.onSettled?.(error);
      },
    });
    this.#unlink = this.#link(request.context);
  }

  /** Tells which call answers here; undefined when it was rejected at once. */
  bind(call: ServerCall | undefined): void {
    this.#call = call;
    if (call !== undefined && this.#context.isKilled()) {
      call.kill(abortReasonOf(this.#context.killed), this.#context.stoppedUnixMs);
    }
  }

  accept(): void {
    this.#resolve(this.#buffer);
  }

  reject(error: DynamoError): void {
    this.#unlink();
    this.#reject(error);
  }

  data(item: Uint8Array): boolean {
    this.#buffer.push(item);
    this.#credit -= item.byteLength;
    return this.#credit > 0;
  }

  async drained(): Promise<void> {
    if (this.#credit > 0) return;
    await new Promise<void>((resolve) => this.#drainWaiters.push(resolve));
  }

  end(): void {
    this.#buffer.end();
  }

  error(error: DynamoError): void {
    this.#buffer.fail(error);
  }

  #addCredit(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit <= 0) return;
    for (const wake of this.#drainWaiters.splice(0)) wake();
  }

  #link(caller: Context): () => void {
    const offStop = onAbort(caller.stopped, () => {
      if (!caller.isKilled()) {
        this.#context.stopGenerating(abortReasonOf(caller.stopped), caller.stoppedUnixMs);
      }
    });
    const offKill = onAbort(caller.killed, () => {
      const reason = abortReasonOf(caller.killed);
      this.#call?.kill(reason, caller.stoppedUnixMs);
      this.#context.kill(reason, caller.stoppedUnixMs);
      const error = abortError(caller.killed);
      this.#reject(error);
      this.#buffer.cancel(error);
    });
    return () => {
      offStop();
      offKill();
    };
  }
}
