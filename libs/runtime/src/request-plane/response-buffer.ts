/**
 * The reader's side of an answer, the same for every request plane.
 *
 * Planes push what arrives; the reader takes everything that arrived together in one call. A failure lets the reader
 * have what came before it, because a migrated request continues from there; a cancel drops it.
 */
import { AbortReasonError } from '@dynamo-ts/base';
import type { DynamoError } from '@dynamo-ts/base';

import type { RawResponse } from './request-plane.ts';

/** What a {@link ResponseBuffer} tells its plane. */
export interface ResponseBufferOptions {
  /** The reader took this many bytes: give the server that much credit again. */
  readonly onTaken?: (bytes: number) => void;
  /** The reader gave up: kill the request on the server. */
  readonly onCancel: () => void;
  /** The answer ended, failed or was cancelled; called once. */
  readonly onSettled?: ((error: DynamoError | undefined) => void) | undefined;
}

type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'ended' }
  | { readonly kind: 'failed'; readonly error: DynamoError };

/** Items of one answer between a plane and its reader. Bounded by the credit that the plane gives. */
export class ResponseBuffer implements RawResponse {
  readonly #options: ResponseBufferOptions;
  #items: Uint8Array[] = [];
  #sizeBytes = 0;
  #state: State = { kind: 'open' };
  #wake: (() => void) | undefined;

  constructor(options: ResponseBufferOptions) {
    this.#options = options;
  }

  /** Whether neither end nor failure has arrived. */
  get open(): boolean {
    return this.#state.kind === 'open';
  }

  /** Adds an item. */
  push(item: Uint8Array): void {
    if (this.#state.kind !== 'open') return;
    this.#items.push(item);
    this.#sizeBytes += item.byteLength;
    this.#notify();
  }

  /** The answer is complete. */
  end(): void {
    this.#settle({ kind: 'ended' });
  }

  /** The answer broke; the reader gets what is queued, then the error. */
  fail(error: DynamoError): void {
    this.#settle({ kind: 'failed', error });
  }

  async nextBatch(): Promise<readonly Uint8Array[] | undefined> {
    // Everything pushed before the reader's microtask runs belongs to the same batch.
    if (this.#items.length === 0 && this.#state.kind === 'open') {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#items.length > 0) return this.#take();
    if (this.#state.kind === 'failed') throw this.#state.error;
    return undefined;
  }

  cancel(error: DynamoError = new AbortReasonError('client-gone')): void {
    if (this.#state.kind === 'ended') return;
    this.#items = [];
    this.#sizeBytes = 0;
    if (this.#state.kind === 'failed') return;
    this.#options.onCancel();
    this.#settle({ kind: 'failed', error });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const batch = await this.nextBatch();
        if (batch === undefined) return;
        yield* batch;
      }
    } finally {
      this.cancel();
    }
  }

  #take(): readonly Uint8Array[] {
    const items = this.#items;
    const bytes = this.#sizeBytes;
    this.#items = [];
    this.#sizeBytes = 0;
    if (this.#state.kind === 'open') this.#options.onTaken?.(bytes);
    return items;
  }

  #settle(state: State): void {
    if (this.#state.kind !== 'open') return;
    this.#state = state;
    this.#notify();
    this.#options.onSettled?.(state.kind === 'failed' ? state.error : undefined);
  }

  #notify(): void {
    const wake = this.#wake;
    if (wake === undefined) return;
    this.#wake = undefined;
    wake();
  }
}
