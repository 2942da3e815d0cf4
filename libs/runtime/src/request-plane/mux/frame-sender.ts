/**
 * The sending half of a mux connection: frames of many streams share messages.
 *
 * What one callback produces, be it a request or the tokens of an engine step, leaves in one message as soon as that
 * callback is over; what comes while a message is on its way leaves together when the connection has taken that. HTTP/2
 * takes a message at the end of an event-loop iteration, and one at a time: whoever collected until that end would wait
 * for the end of the next.
 *
 * Guarantees: frames of one stream keep their order; data above the frame size is cut into pieces that take turns with
 * those of other streams; data waits for its stream's credit; nothing is delayed on purpose. Memory is bounded by the
 * credit of all streams plus the items that writers were told to wait for.
 */

/** Bytes of a frame around its data, rounded up. */
const FRAME_OVERHEAD_BYTES = 16;

/** Bytes that may be on their way into the connection before the sender waits. */
const HIGH_WATER_BYTES = 1024 * 1024;

/** What a {@link FrameSender} writes to, and how frames look there. */
export interface FrameSenderOptions<Frame> {
  /** Bytes of one message. */
  readonly encode: (frames: readonly Frame[]) => Uint8Array;
  /** Sends a message and calls `done` when the connection has taken it. */
  readonly send: (message: Uint8Array, done: () => void, frames: readonly Frame[]) => void;
  /** The frame that carries (a piece of) an item; `last` is false for pieces that others follow. */
  readonly dataFrame: (stream: number, data: Uint8Array, last: boolean) => Frame;
  /** Largest data of one frame. */
  readonly maxFrameBytes: number;
  /** Size at which a message is closed; one frame may exceed it. */
  readonly maxMessageBytes: number;
}

/** A stream's ordered backlog: items that wait for credit or their turn, then at most one closing frame. */
interface Backlog<Frame> {
  readonly items: Uint8Array[];
  /** Bytes of `items[0]` that have left. */
  offset: number;
  credit: number;
  queuedInRing: boolean;
  /** No more items follow; `closing` leaves after them. */
  finished: boolean;
  closing: Frame | undefined;
  onUnsent: (() => void) | undefined;
  onDrained: (() => void) | undefined;
}

/** Collects frames and sends them by message. */
export class FrameSender<Frame> {
  readonly #options: FrameSenderOptions<Frame>;
  readonly #streams = new Map<number, Backlog<Frame>>();
  readonly #ring: number[] = [];
  #ready: Frame[] = [];
  #readyBytes: number[] = [];
  #readyTotal = 0;
  #inFlight = 0;
  #state: 'idle' | 'scheduled' | 'flushing' = 'idle';
  #closed = false;
  #idleWaiters: (() => void)[] = [];

  constructor(options: FrameSenderOptions<Frame>) {
    this.#options = options;
  }

  /** Sends a frame ahead of backlogs; only for frames that need no order within their stream. */
  control(frame: Frame, sizeBytes: number = FRAME_OVERHEAD_BYTES): void {
    this.#push(frame, sizeBytes);
  }

  /** Opens a stream for data with its first credit. */
  open(stream: number, credit: number): void {
    this.#streams.set(stream, {
      items: [],
      offset: 0,
      credit,
      queuedInRing: false,
      finished: false,
      closing: undefined,
      onUnsent: undefined,
      onDrained: undefined,
    });
  }

  /** Queues an item. @returns false when the stream's credit is used up */
  data(stream: number, item: Uint8Array): boolean {
    const backlog = this.#streams.get(stream);
    if (backlog === undefined) return true;
    if (
      backlog.items.length === 0 &&
      backlog.credit > 0 &&
      item.byteLength <= this.#options.maxFrameBytes
    ) {
      backlog.credit -= item.byteLength;
      this.#push(this.#options.dataFrame(stream, item, true), item.byteLength);
      return backlog.credit > 0;
    }
    backlog.items.push(item);
    this.#enterRing(stream, backlog);
    return false;
  }

  /** Resolves when the stream's backlog is empty and it has credit, or the stream is gone. */
  async drained(stream: number): Promise<void> {
    const backlog = this.#streams.get(stream);
    if (backlog === undefined || isDrained(backlog)) return;
    await new Promise<void>((resolve) => {
      const before = backlog.onDrained;
      backlog.onDrained = () => {
        before?.();
        resolve();
      };
    });
  }

  /** The reader has taken this many bytes. */
  addCredit(stream: number, bytes: number): void {
    const backlog = this.#streams.get(stream);
    if (backlog === undefined) return;
    backlog.credit += bytes;
    this.#enterRing(stream, backlog);
    wakeIfDrained(backlog);
  }

  /**
   * Sends a frame after the stream's data and forgets the stream; without a frame when there is nothing to say.
   * `onUnsent` is told when the connection ends while that data still waits for credit or its turn.
   */
  finish(stream: number, closing?: Frame, onUnsent?: () => void): void {
    const backlog = this.#streams.get(stream);
    if (backlog === undefined) return;
    backlog.finished = true;
    backlog.closing = closing;
    backlog.onUnsent = onUnsent;
    if (backlog.items.length > 0) return;
    if (closing !== undefined) this.#push(closing, FRAME_OVERHEAD_BYTES);
    this.drop(stream);
  }

  /** Forgets a stream and what it still had to send. */
  drop(stream: number): void {
    const backlog = this.#streams.get(stream);
    if (backlog === undefined) return;
    this.#streams.delete(stream);
    backlog.items.length = 0;
    backlog.onDrained?.();
  }

  /** Resolves when everything that can be sent has been taken by the connection. */
  async flushed(): Promise<void> {
    if (this.#closed || this.#isIdle()) return;
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** The connection is gone: drops everything. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const [stream, { onUnsent }] of [...this.#streams]) {
      this.drop(stream);
      onUnsent?.();
    }
    this.#clearReady();
    this.#wakeIdle();
  }

  #push(frame: Frame, sizeBytes: number): void {
    if (this.#closed) return;
    this.#ready.push(frame);
    this.#readyBytes.push(sizeBytes);
    this.#readyTotal += sizeBytes + FRAME_OVERHEAD_BYTES;
    this.#schedule();
  }

  #enterRing(stream: number, backlog: Backlog<Frame>): void {
    if (backlog.queuedInRing || backlog.items.length === 0 || backlog.credit <= 0) return;
    backlog.queuedInRing = true;
    this.#ring.push(stream);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#state !== 'idle' || this.#closed || this.#inFlight > 0) return;
    this.#state = 'scheduled';
    process.nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    this.#state = 'flushing';
    while (!this.#closed && this.#inFlight < HIGH_WATER_BYTES) {
      const frames = this.#nextMessage();
      if (frames.length === 0) break;
      const message = this.#options.encode(frames);
      this.#inFlight += message.byteLength;
      const done = (): void => {
        this.#taken(message.byteLength);
      };
      this.#options.send(message, done, frames);
    }
    this.#state = 'idle';
    // What was queued may have been dropped instead of sent.
    if (this.#isIdle()) this.#wakeIdle();
  };

  /** In the tick in which the connection has taken a message it takes the next one without waiting for an iteration. */
  #taken(bytes: number): void {
    this.#inFlight -= bytes;
    if (this.#state !== 'flushing') this.#flush();
  }

  #isIdle(): boolean {
    return this.#readyTotal === 0 && this.#ring.length === 0 && this.#inFlight === 0;
  }

  #nextMessage(): Frame[] {
    const limit = this.#options.maxMessageBytes;
    if (this.#readyTotal > limit) return this.#splitReady(limit);
    const frames = this.#ready;
    let total = this.#readyTotal;
    this.#clearReady();
    while (total < limit && this.#ring.length > 0) total += this.#takeTurn(frames);
    return frames;
  }

  #splitReady(limit: number): Frame[] {
    let count = 0;
    let total = 0;
    while (count < this.#ready.length && (count === 0 || total < limit)) {
      total += (this.#readyBytes[count] ?? 0) + FRAME_OVERHEAD_BYTES;
      count += 1;
    }
    const frames = this.#ready.splice(0, count);
    this.#readyBytes.splice(0, count);
    this.#readyTotal -= total;
    return frames;
  }

  /** Lets the next stream of the ring send one frame's worth. @returns its bytes */
  #takeTurn(frames: Frame[]): number {
    const stream = this.#ring.shift();
    const backlog = stream === undefined ? undefined : this.#streams.get(stream);
    if (stream === undefined || backlog === undefined) return 0;
    backlog.queuedInRing = false;
    const sent = this.#takePiece(stream, backlog, frames);
    if (backlog.items.length > 0) this.#enterRing(stream, backlog);
    else this.#emptied(stream, backlog, frames);
    return sent;
  }

  #takePiece(stream: number, backlog: Backlog<Frame>, frames: Frame[]): number {
    const item = backlog.items[0];
    if (item === undefined) return 0;
    const { maxFrameBytes, dataFrame } = this.#options;
    const rest = item.byteLength - backlog.offset;
    const last = rest <= maxFrameBytes;
    const piece =
      backlog.offset === 0 && last
        ? item
        : item.subarray(backlog.offset, backlog.offset + Math.min(rest, maxFrameBytes));
    if (last) {
      backlog.items.shift();
      backlog.offset = 0;
    } else {
      backlog.offset += piece.byteLength;
    }
    backlog.credit -= piece.byteLength;
    frames.push(dataFrame(stream, piece, last));
    return piece.byteLength + FRAME_OVERHEAD_BYTES;
  }

  #emptied(stream: number, backlog: Backlog<Frame>, frames: Frame[]): void {
    if (backlog.closing !== undefined) frames.push(backlog.closing);
    if (backlog.finished) this.drop(stream);
    else wakeIfDrained(backlog);
  }

  #clearReady(): void {
    this.#ready = [];
    this.#readyBytes = [];
    this.#readyTotal = 0;
  }

  #wakeIdle(): void {
    for (const wake of this.#idleWaiters.splice(0)) wake();
  }
}

function isDrained(backlog: Backlog<unknown>): boolean {
  return backlog.items.length === 0 && backlog.credit > 0;
}

function wakeIfDrained(backlog: Backlog<unknown>): void {
  if (backlog.onDrained === undefined || !isDrained(backlog)) return;
  const wake = backlog.onDrained;
  backlog.onDrained = undefined;
  wake();
}
