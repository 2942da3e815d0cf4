/** One request on the client's side of a mux connection. */
import { DynamoError, abortError, abortReasonOf, onAbort } from '@dynamo-ts/base';
import type { AbortReason } from '@dynamo-ts/base';

import type { ReaderTurns } from '../reader-turns.ts';
import type { OutgoingRequest, RawResponse } from '../request-plane.ts';
import { ResponseBuffer } from '../response-buffer.ts';

/** Why a request is given up, and since when if its context tells. */
export interface GivenUp {
  readonly reason: AbortReason;
  readonly sinceUnixMs: number | undefined;
}

/** What a {@link ClientStream} tells its connection. */
export interface ClientStreamLink {
  stop(stream: number, why: GivenUp): void;
  /** The server has not accepted the request in time. */
  late(openedMs: number): void;
  /** Sends a kill and forgets the stream. */
  kill(stream: number, why: GivenUp): void;
  credit(stream: number, bytes: number): void;
  /** Forgets the stream: nothing more comes. */
  forget(stream: number): void;
}

/** What a {@link ClientStream} is made of. */
export interface ClientStreamOptions {
  readonly id: number;
  readonly request: OutgoingRequest;
  readonly link: ClientStreamLink;
  /** Bytes of response data on their way at most. */
  readonly creditBytes: number;
  readonly turns?: ReaderTurns | undefined;
}

/** Reads the frames of one answer; gives credit back as its reader takes items. */
export class ClientStream {
  readonly id: number;
  /** Settles when the server has accepted or rejected the request. */
  readonly accepted: Promise<RawResponse>;
  readonly #options: ClientStreamOptions;
  readonly #buffer: ResponseBuffer;
  readonly #offs: (() => void)[] = [];
  readonly #replenishAt: number;
  #state: 'opening' | 'accepted' | 'done' = 'opening';
  #resolve: (response: RawResponse) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  #acceptTimer: NodeJS.Timeout | undefined;
  #pieces: Uint8Array[] = [];
  #taken = 0;
  /** Credit already given back for pieces of an item that its reader could not take yet. */
  #advanced = 0;
  #dropReason: AbortReason = 'superseded';

  constructor(options: ClientStreamOptions) {
    this.id = options.id;
    this.#options = options;
    this.#replenishAt = options.creditBytes / 2;
    this.accepted = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A rejection may come while the payload is still being sent and nobody waits yet.
    this.accepted.catch(() => undefined);
    this.#buffer = new ResponseBuffer({
      turns: options.turns,
      onTaken: (bytes) => {
        this.#giveBack(bytes);
      },
      onCancel: () => {
        options.link.kill(this.id, this.#givenUp());
      },
      onSettled: (error) => {
        this.#close();
        if (this.#state === 'accepted') options.request.onSettled?.(error);
        this.#state = 'done';
      },
    });
    this.#linkContext();
  }

  /** Whether the server has neither accepted nor rejected it. */
  get opening(): boolean {
    return this.#state === 'opening';
  }

  /** Starts the time within which the server must accept. */
  startAcceptTimer(timeoutMs: number): void {
    if (this.#state !== 'opening') return;
    const openedMs = performance.now();
    // When this process stood still itself the answer may be here and unread: it is read before the verdict.
    const onDue = (): void => void setImmediate(() => this.#onLate(timeoutMs, openedMs));
    this.#acceptTimer = setTimeout(onDue, timeoutMs);
  }

  accept(): void {
    if (this.#state !== 'opening') return;
    this.#state = 'accepted';
    clearTimeout(this.#acceptTimer);
    this.#resolve(this.#buffer);
  }

  reject(error: DynamoError): void {
    if (this.#state !== 'opening') return;
    this.#reject(error);
    this.#buffer.fail(error);
  }

  data(item: Uint8Array): void {
    if (this.#state === 'opening') this.accept();
    if (this.#pieces.length === 0) this.#buffer.push(item);
    else this.#complete(item);
  }

  /** A piece of an item that goes on: the reader waits for it, so its credit is given back at once. */
  partial(piece: Uint8Array): void {
    if (this.#state === 'opening') this.accept();
    this.#pieces.push(piece);
    this.#advanced += piece.byteLength;
    this.#options.link.credit(this.id, piece.byteLength);
  }

  end(): void {
    if (this.#state === 'opening') this.accept();
    this.#buffer.end();
  }

  /** The server failed, or the connection ended. */
  fail(error: DynamoError): void {
    if (this.#state === 'opening') this.reject(error);
    else this.#buffer.fail(error);
  }

  /** Gives the request up: this process leaves. */
  cancel(): void {
    this.#dropReason = 'client-gone';
    const error = new DynamoError('runtime.closed', 'the request plane was closed');
    this.#reject(error);
    this.#buffer.cancel(error);
  }

  #onLate(timeoutMs: number, openedMs: number): void {
    if (this.#state !== 'opening') return;
    const message = `the instance did not accept the request within ${timeoutMs} ms`;
    this.#options.link.kill(this.id, this.#givenUp());
    this.reject(new DynamoError('transport.timeout', message));
    this.#options.link.late(openedMs);
  }

  #complete(last: Uint8Array): void {
    const pieces = [...this.#pieces, last];
    this.#pieces = [];
    this.#buffer.push(Buffer.concat(pieces));
  }

  #giveBack(bytes: number): void {
    const covered = Math.min(bytes, this.#advanced);
    this.#advanced -= covered;
    this.#taken += bytes - covered;
    if (this.#taken < this.#replenishAt) return;
    this.#options.link.credit(this.id, this.#taken);
    this.#taken = 0;
  }

  #linkContext(): void {
    const { context } = this.#options.request;
    this.#offs.push(
      onAbort(context.stopped, () => {
        // A kill aborts both; it says more.
        if (!context.isKilled()) this.#options.link.stop(this.id, this.#givenUp());
      }),
      onAbort(context.killed, () => {
        const error = abortError(context.killed);
        this.#reject(error);
        this.#buffer.cancel(error);
      }),
    );
  }

  /** A reader that drops its answer without its context being given up wants something else by now. */
  #givenUp(): GivenUp {
    const { context } = this.#options.request;
    // A kill is told before the stop that it implies.
    const signal = context.isKilled() ? context.killed : context.stopped;
    const reason = signal.aborted ? abortReasonOf(signal) : this.#dropReason;
    return { reason, sinceUnixMs: context.stoppedUnixMs };
  }

  #close(): void {
    for (const off of this.#offs) off();
    clearTimeout(this.#acceptTimer);
    this.#options.link.forget(this.id);
  }
}
