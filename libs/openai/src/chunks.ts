/**
 * Stream chunks, built as strings: everything that does not change within a choice is joined once, and only the text of
 * a token goes through JSON.stringify. This is the hottest path of the frontend.
 */
import type { UsageCounts } from './usage.ts';
import { usageBody } from './usage.ts';

/** Which endpoint's form a response has. */
export type ResponseKind = 'chat' | 'completion';

/** What all chunks of one answer share. */
export interface ResponseHead {
  readonly kind: ResponseKind;
  /** `chatcmpl-…` or `cmpl-…`. */
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly model: string;
}

/** Why a choice ended, in OpenAI's words. */
export type ChoiceFinish = 'stop' | 'length' | 'content_filter' | 'tool_calls';

/** Settings of a {@link ChoiceChunks}. */
export interface ChoiceChunksOptions {
  readonly head: ResponseHead;
  readonly index: number;
  /** Every chunk carries `"usage":null`, as OpenAI does when a usage chunk will follow. */
  readonly nullUsage?: boolean | undefined;
}

/** Everything that a chunk may carry beside its text. */
export interface ChunkParts {
  readonly text: string;
  readonly finish?: ChoiceFinish | undefined;
  /** Value of `logprobs`. */
  readonly logprobs?: unknown;
  /** The whole `delta` as JSON, in place of the text. */
  readonly deltaJson?: string | undefined;
  readonly usage?: UsageCounts | undefined;
  /** Extension values. */
  readonly nvext?: unknown;
}

const CHUNK_OBJECT = { chat: 'chat.completion.chunk', completion: 'text_completion' } as const;
const ROLE = '"role":"assistant"';

/** The chunks of one choice. The role is in the first one, and only there. */
export class ChoiceChunks {
  readonly #kind: ResponseKind;
  /** Up to `"delta":` or `"text":`. */
  readonly #start: string;
  /** Up to the text of a later chunk. */
  readonly #textStart: string;
  /** From behind the text of a chunk that is only text. */
  readonly #textEnd: string;
  readonly #usage: string;
  #roleSent: boolean;

  constructor(options: ChoiceChunksOptions) {
    const { head, index } = options;
    const isChat = head.kind === 'chat';
    this.#kind = head.kind;
    this.#usage = options.nullUsage === true ? ',"usage":null' : '';
    this.#start = `data: {${headFields(head)},"choices":[{"index":${index},${isChat ? '"delta":' : '"text":'}`;
    this.#textStart = this.#start + (isChat ? '{"content":' : '');
    this.#textEnd = `${isChat ? '}' : ''},"logprobs":null,"finish_reason":null}]${this.#usage}}\n\n`;
    this.#roleSent = !isChat;
  }

  /** A chunk of text that is not the last. */
  text(text: string): string {
    if (!this.#roleSent) return this.chunk({ text });
    return this.#textStart + JSON.stringify(text) + this.#textEnd;
  }

  /** A chunk with anything in it. */
  chunk(parts: ChunkParts): string {
    const logprobs = parts.logprobs === undefined ? 'null' : JSON.stringify(parts.logprobs);
    const finish = parts.finish === undefined ? 'null' : `"${parts.finish}"`;
    const usage =
      parts.usage === undefined
        ? this.#usage
        : `,"usage":${JSON.stringify(usageBody(parts.usage))}`;
    const nvext = parts.nvext === undefined ? '' : `,"nvext":${JSON.stringify(parts.nvext)}`;
    return `${this.#start}${this.#content(parts)},"logprobs":${logprobs},"finish_reason":${finish}}]${usage}${nvext}}\n\n`;
  }

  #content(parts: ChunkParts): string {
    if (this.#kind === 'completion') return JSON.stringify(parts.text);
    const fields = this.#deltaFields(parts);
    if (this.#roleSent) return `{${fields}}`;
    this.#roleSent = true;
    if (fields.includes('"role"') && parts.deltaJson !== undefined) return `{${fields}}`;
    return fields === '' ? `{${ROLE},"content":""}` : `{${ROLE},${fields}}`;
  }

  #deltaFields(parts: ChunkParts): string {
    if (parts.deltaJson !== undefined) return parts.deltaJson.trim().slice(1, -1);
    return parts.text === '' ? '' : `"content":${JSON.stringify(parts.text)}`;
  }
}

/** The last chunk of a stream whose client asked for usage: no choices. */
export function usageChunk(head: ResponseHead, usage: UsageCounts): string {
  return `data: {${headFields(head)},"choices":[],"usage":${JSON.stringify(usageBody(usage))}}\n\n`;
}

function headFields(head: ResponseHead): string {
  return `"id":${JSON.stringify(head.id)},"object":"${CHUNK_OBJECT[head.kind]}","created":${head.created},"model":${JSON.stringify(head.model)}`;
}
