import type { DynamoError } from '@dynamo-ts/base';
import type { ServerFrame } from '@dynamo-ts/protocol';

import type { AnswerChannel } from '../server-call.ts';
import { toFailure } from './failure.ts';
import type { FrameSender } from './frame-sender.ts';

/** What a {@link MuxAnswer} is made of. */
export interface MuxAnswerOptions {
  readonly stream: number;
  readonly sender: FrameSender<ServerFrame>;
  /** Called when the last frame has been queued. */
  readonly onDone: () => void;
  /** Called when the connection ended before the last frame could be sent. */
  readonly onUnsent?: (() => void) | undefined;
}

/** Puts an answer into frames. */
export class MuxAnswer implements AnswerChannel {
  readonly #stream: number;
  readonly #sender: FrameSender<ServerFrame>;
  readonly #onDone: () => void;
  readonly #onUnsent: (() => void) | undefined;
  #done = false;

  constructor(options: MuxAnswerOptions) {
    this.#stream = options.stream;
    this.#sender = options.sender;
    this.#onDone = options.onDone;
    this.#onUnsent = options.onUnsent;
  }

  /** Whether nothing more is answered. */
  get done(): boolean {
    return this.#done;
  }

  accept(): void {
    this.#sender.control({ stream: this.#stream, body: { $case: 'accepted', value: {} } });
  }

  reject(error: DynamoError): void {
    this.#finish({ stream: this.#stream, body: { $case: 'rejected', value: toFailure(error) } });
  }

  data(item: Uint8Array): boolean {
    return this.#sender.data(this.#stream, item);
  }

  drained(): Promise<void> {
    return this.#sender.drained(this.#stream);
  }

  end(): void {
    this.#finish({ stream: this.#stream, body: { $case: 'end', value: {} } });
  }

  error(error: DynamoError): void {
    this.#finish({ stream: this.#stream, body: { $case: 'error', value: toFailure(error) } });
  }

  #finish(frame: ServerFrame): void {
    this.#done = true;
    this.#sender.finish(this.#stream, frame, this.#onUnsent);
    this.#onDone();
  }
}
