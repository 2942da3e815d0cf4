/**
 * The reader's side of an answer, the same for every request plane.
 *
 * Planes push what arrives; the reader takes everything that arrived together in one call. A failure lets the reader
 * have what came before it, because a migrated request continues from there; a cancel drops it.
 *
 * What a slow reader leaves here costs little more than its bytes: batches that nobody took are copied into one piece of
 * memory each, because an item on its own costs more than it holds and keeps the whole message alive that brought it.
 */
import { AbortReasonError } from '@dynamo-ts/base';
import type { DynamoError } from '@dynamo-ts/base';

import type { ReaderTurns } from './reader-turns.ts';
import type { RawResponse } from './request-plane.ts';

/** What a {@link ResponseBuffer} tells its plane. */
export interface ResponseBufferOptions {
  /** The reader took this many bytes: give the server that much credit again. */
  readonly onTaken?: (bytes: number) => void;
  /** The reader gave up: kill the request on the server. */
  readonly onCancel: () => void;
  /** The answer ended, failed or was cancelled; called once. */
  readonly onSettled?: ((error: DynamoError | undefined) => void) | undefined;
  /** Whom the reader waits for, from its second batch on. @default nobody */
  readonly turns?: ReaderTurns | undefined;
}

type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'ended' }
  | { readonly kind: 'failed'; readonly error: DynamoError };

/**
 * Most items of one batch. A reader that was away must not turn all that came meanwhile into events at once: text is ten
 * times as large as the tokens it is made of.
 */
export const MAX_BATCH_ITEMS = 64;

/** Items of one answer between a plane and its reader. Bounded by the credit that the plane gives. */
export class ResponseBuffer implements RawResponse {
  readonly #options: ResponseBufferOptions;
  /** Full batches that nobody has taken, before {@link ResponseBuffer.#items}. */
  readonly #packed: PackedItems[] = [];
  #items: Uint8Array[] = [];
  #state: State = { kind: 'open' };
  #wake: (() => void) | undefined;
  #hasTurn = false;
  #hasRead = false;

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
    if (this.#items.length === MAX_BATCH_ITEMS) {
      this.#packed.push(new PackedItems(this.#items));
      this.#items = [];
    }
    this.#items.push(item);
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
    if (this.#items.length === 0 && this.#state.kind === 'open') await this.#woken();
    else if (this.#hasRead && this.#options.turns?.busy === true) await this.#ownTurn();
    this.#hasRead = true;
    if (this.#items.length > 0) return this.#take();
    if (this.#state.kind === 'failed') throw this.#state.error;
    return undefined;
  }

  cancel(error: DynamoError = new AbortReasonError('client-gone')): void {
    if (this.#state.kind === 'ended') return;
    this.#items = [];
    this.#packed.length = 0;
    if (this.#state.kind === 'failed') return;
    this.#options.onCancel();
    this.#settle({ kind: 'failed', error });
    this.#wakeUp();
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
    const packed = this.#packed.shift();
    const items = packed?.unpack() ?? this.#items;
    if (packed === undefined) this.#items = [];
    if (this.#state.kind === 'open') {
      this.#options.onTaken?.(items.reduce((sum, { byteLength }) => sum + byteLength, 0));
    }
    return items;
  }

  #settle(state: State): void {
    if (this.#state.kind !== 'open') return;
    this.#state = state;
    this.#notify();
    this.#options.onSettled?.(state.kind === 'failed' ? state.error : undefined);
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #ownTurn(): Promise<void> {
    const turn = this.#woken();
    this.#notify();
    return turn;
  }

  /** The first batch waits for nobody: it is the one that somebody looks at. */
  #notify(): void {
    if (this.#wake === undefined || this.#hasTurn) return;
    const { turns } = this.#options;
    if (turns === undefined || !this.#hasRead) {
      this.#wakeUp();
      return;
    }
    this.#hasTurn = true;
    turns.enter(this.#wakeUp);
  }

  readonly #wakeUp = (): void => {
    this.#hasTurn = false;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  };
}

/** Items in one piece of memory: their number, where each of them ends, their bytes. */
class PackedItems {
  readonly #memory: ArrayBuffer;

  constructor(items: readonly Uint8Array[]) {
    const headBytes = WORD_BYTES * (items.length + 1);
    const sizeBytes = items.reduce((sum, { byteLength }) => sum + byteLength, headBytes);
    // Nothing but the memory is kept: a view of it costs as much as many an item.
    this.#memory = new ArrayBuffer(sizeBytes);
    const head = new Uint32Array(this.#memory, 0, items.length + 1);
    const bytes = new Uint8Array(this.#memory);
    head[0] = items.length;
    let end = headBytes;
    for (const [index, item] of items.entries()) {
      bytes.set(item, end);
      end += item.byteLength;
      head[index + 1] = end;
    }
  }

  unpack(): readonly Uint8Array[] {
    const [count = 0] = new Uint32Array(this.#memory, 0, 1);
    const ends = new Uint32Array(this.#memory, WORD_BYTES, count);
    let start = WORD_BYTES * (count + 1);
    return Array.from(ends, (end) => {
      const item = new Uint8Array(this.#memory, start, end - start);
      start = end;
      return item;
    });
  }
}

const WORD_BYTES = 4;
