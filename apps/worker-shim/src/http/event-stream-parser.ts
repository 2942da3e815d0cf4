/**
 * Parser of `text/event-stream` (WHATWG HTML 9.2) that may be fed any split of the bytes: in the middle of a UTF-8
 * sequence, of a line ending, of a field. An event that the stream's end cuts off is dropped, as the standard says.
 *
 * One deviation: llama-server reports failures in a field called `error`; that becomes an event named `error`.
 */
import { DynamoError } from '@dynamo-ts/base';

/** One event of the stream. */
export interface ServerSentEvent {
  /** `message` unless the stream names it. */
  readonly event: string;
  /** Data lines joined by a line feed. */
  readonly data: string;
}

/** Longest event accepted, in UTF-16 units; nothing that an engine sends comes near. */
const MAX_EVENT_LENGTH = 64 * 1024 * 1024;
const LINE_END = /\r\n|\n|\r/g;

/** Turns bytes into events. */
export class EventStreamParser {
  readonly #decoder = new TextDecoder();
  #rest = '';
  #skipLineFeed = false;
  #event = '';
  #data: string | undefined;

  /**
   * The events that these bytes complete, in order.
   *
   * @throws `transport.protocol` when one event outgrows every sensible size
   */
  push(bytes: Uint8Array): readonly ServerSentEvent[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === '') return [];
    if (this.#skipLineFeed && text.startsWith('\n')) text = text.slice(1);
    this.#skipLineFeed = text.endsWith('\r');
    const events: ServerSentEvent[] = [];
    const buffered = this.#rest + text;
    let start = 0;
    for (const match of buffered.matchAll(LINE_END)) {
      this.#takeLine(buffered.slice(start, match.index), events);
      start = match.index + match[0].length;
    }
    this.#rest = buffered.slice(start);
    if (this.#rest.length + (this.#data?.length ?? 0) > MAX_EVENT_LENGTH) {
      throw new DynamoError('transport.protocol', 'the engine sent an event of more than 64 MiB');
    }
    return events;
  }

  #takeLine(line: string, events: ServerSentEvent[]): void {
    if (line === '') {
      if (this.#data !== undefined) {
        events.push({ event: this.#event || 'message', data: this.#data });
      }
      this.#data = undefined;
      this.#event = '';
      return;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const afterColon = colon < 0 ? '' : line.slice(colon + 1);
    this.#takeField(field, afterColon.startsWith(' ') ? afterColon.slice(1) : afterColon);
  }

  #takeField(field: string, value: string): void {
    switch (field) {
      case 'data':
        this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
        return;
      case 'event':
        this.#event = value;
        return;
      case 'error':
        this.#event = 'error';
        this.#data = value;
        return;
      default: // comments, ids and retry hints mean nothing here
    }
  }
}
