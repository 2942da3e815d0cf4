/**
 * One choice of an answer: token ids in, text and the decision to end out (RF 4.7).
 *
 * It sits above migration, so its state outlives the worker. Synchronous, because it runs once per token. Rules: no
 * stop before `min_tokens`; end-of-sequence and stop ids hide their text unless `include_stop_str_in_output`;
 * `ignore_eos` leaves `max_tokens` as the only end; `max_tokens` is enforced here whatever the engine does.
 */
import { FinishReason } from '@dynamo-ts/protocol';
import type { GenerateResponse, TokenLogprob } from '@dynamo-ts/protocol';

import { DecodedDelta } from './decoded-delta.ts';
import type { DecodedFinishReason } from './decoded-delta.ts';
import { StopMatcher } from './stop-matcher.ts';
import type { TokenDecoder } from './token-decoder.ts';

/** When a choice ends. */
export interface StopOptions {
  /** Strings that end the answer. */
  readonly stop?: readonly string[] | undefined;
  /** Ids that end the answer, named by the client. */
  readonly stopTokenIds?: Iterable<number> | undefined;
  /** End-of-sequence ids of the model. */
  readonly eosTokenIds?: Iterable<number> | undefined;
  /** Shows the stop string or the text of the stop id. @default false */
  readonly includeStopStrInOutput?: boolean | undefined;
  /** No stop before this many tokens. @default 0 */
  readonly minTokens?: number | undefined;
  /** Ends with `length` after this many tokens. @default no limit */
  readonly maxTokens?: number | undefined;
  /** Ignores end-of-sequence, stop ids and stop strings. @default false */
  readonly ignoreEos?: boolean | undefined;
}

/** Settings of a {@link ChoiceDecoder}. */
export interface ChoiceDecoderOptions extends StopOptions {
  readonly decoder: TokenDecoder;
}

const FINISH: Readonly<Record<FinishReason, DecodedFinishReason | undefined>> = {
  [FinishReason.FINISH_REASON_UNSPECIFIED]: undefined,
  [FinishReason.FINISH_REASON_EOS]: 'stop',
  [FinishReason.FINISH_REASON_LENGTH]: 'length',
  [FinishReason.FINISH_REASON_STOP]: 'stop',
  [FinishReason.FINISH_REASON_ERROR]: 'error',
  [FinishReason.FINISH_REASON_CANCELLED]: 'stop',
  [FinishReason.FINISH_REASON_CONTENT_FILTER]: 'content_filter',
  [FinishReason.FINISH_REASON_TOOL_CALLS]: 'tool_calls',
};

const NO_BYTES = new Uint8Array(0);

type Ending =
  | { readonly kind: 'running' }
  | {
      readonly kind: 'ended';
      readonly finish: DecodedFinishReason;
      readonly reason?: string | number;
    };

const RUNNING: Ending = { kind: 'running' };

/** Incremental detokeniser and stop conditions of one choice. */
export class ChoiceDecoder {
  readonly #decoder: TokenDecoder;
  readonly #matcher: StopMatcher | undefined;
  readonly #eosIds: ReadonlySet<number>;
  /** End-of-sequence and stop ids together: one look-up per token. */
  readonly #endIds: ReadonlySet<number>;
  readonly #showStop: boolean;
  readonly #minTokens: number;
  readonly #maxTokens: number;
  #generated = 0;
  #ending: Ending = RUNNING;

  constructor(options: ChoiceDecoderOptions) {
    const ignore = options.ignoreEos === true;
    const stops = ignore ? [] : (options.stop ?? []);
    this.#decoder = options.decoder;
    this.#showStop = options.includeStopStrInOutput === true;
    this.#matcher =
      stops.length === 0 ? undefined : new StopMatcher({ stops, includeStop: this.#showStop });
    this.#eosIds = new Set(ignore ? [] : options.eosTokenIds);
    this.#endIds = new Set([...this.#eosIds, ...(ignore ? [] : (options.stopTokenIds ?? []))]);
    this.#minTokens = options.minTokens ?? 0;
    this.#maxTokens = options.maxTokens ?? Infinity;
  }

  /** Tokens accepted so far. */
  get generatedTokens(): number {
    return this.#generated;
  }

  /** Whether the choice has ended; later messages add nothing. */
  get finished(): boolean {
    return this.#ending.kind === 'ended';
  }

  /** Takes one message of the engine. */
  push(output: GenerateResponse): DecodedDelta {
    if (this.#ending.kind === 'ended') return EMPTY_DELTA;
    const pieces: string[] = [];
    const accepted =
      output.text === undefined
        ? this.#pushTokens(output.tokenIdsLe, pieces)
        : this.#pushText(output.tokenIdsLe, output.text, pieces);
    const endedHere = this.finished;
    const engineFinish = FINISH[output.finishReason];
    if (!endedHere && engineFinish !== undefined) this.#endByEngine(output, engineFinish, pieces);
    return this.#delta(output, pieces, accepted, endedHere && engineFinish === undefined);
  }

  /** Text still held when the engine's stream ends without a finish reason. */
  flush(): string {
    return this.#matcher === undefined
      ? this.#decoder.flush()
      : this.#matcher.push(this.#decoder.flush(), false) + this.#matcher.flush();
  }

  #delta(
    output: GenerateResponse,
    pieces: readonly string[],
    acceptedBytes: Uint8Array,
    stopEngine: boolean,
  ): DecodedDelta {
    const ending = this.#ending;
    return new DecodedDelta({
      pieces,
      tokenIdsLe: acceptedBytes,
      logprobs: acceptedLogprobs(output.logprobs, acceptedBytes.byteLength >>> 2),
      finishReason: ending.kind === 'ended' ? ending.finish : undefined,
      stopReason: ending.kind === 'ended' ? ending.reason : undefined,
      stopEngine,
    });
  }

  /** Decodes ids until the choice ends. @returns the bytes of those that were accepted */
  #pushTokens(idsLe: Uint8Array, pieces: string[]): Uint8Array {
    const end = idsLe.byteLength & ~3;
    for (let at = 0; at < end; at += 4) {
      pieces.push(this.#pushToken(readU32(idsLe, at)));
      if (this.finished) return at + 4 === idsLe.byteLength ? idsLe : idsLe.subarray(0, at + 4);
    }
    return end === idsLe.byteLength ? idsLe : idsLe.subarray(0, end);
  }

  /** Text of an engine that decodes by itself passes as it is; the engine has applied the stop strings. */
  #pushText(idsLe: Uint8Array, text: string, pieces: string[]): Uint8Array {
    pieces.push(text);
    this.#generated += idsLe.byteLength >>> 2;
    return idsLe;
  }

  #pushToken(id: number): string {
    this.#generated += 1;
    const canStop = this.#generated >= this.#minTokens;
    if (canStop && this.#endIds.has(id)) return this.#endById(id);
    let text = this.#decoder.next(id);
    if (this.#matcher !== undefined && text !== '') {
      text = this.#matcher.push(text, canStop);
      const { matched } = this.#matcher;
      if (matched !== undefined) {
        this.#ending = { kind: 'ended', finish: 'stop', reason: matched };
        return text;
      }
    }
    if (this.#generated < this.#maxTokens) return text;
    this.#ending = { kind: 'ended', finish: 'length' };
    return text + this.flush();
  }

  #endById(id: number): string {
    const isEos = this.#eosIds.has(id);
    this.#ending = isEos
      ? { kind: 'ended', finish: 'stop' }
      : { kind: 'ended', finish: 'stop', reason: id };
    const shown = !isEos && this.#showStop ? this.#decoder.next(id) : '';
    return (this.#matcher?.push(shown, false) ?? shown) + this.flush();
  }

  /** The engine ended the choice: what was held back is released with its last token. */
  #endByEngine(output: GenerateResponse, finish: DecodedFinishReason, pieces: string[]): void {
    const reason = output.stopReason;
    this.#ending = reason === '' ? { kind: 'ended', finish } : { kind: 'ended', finish, reason };
    const rest = this.flush();
    if (rest === '') return;
    const last = pieces.pop() ?? '';
    pieces.push(last + rest);
  }
}

const EMPTY_DELTA = new DecodedDelta({
  pieces: [],
  tokenIdsLe: NO_BYTES,
  logprobs: undefined,
  stopEngine: false,
});

function acceptedLogprobs(
  logprobs: readonly TokenLogprob[],
  count: number,
): readonly TokenLogprob[] | undefined {
  if (logprobs.length === 0) return undefined;
  return logprobs.length <= count || count === 0 ? logprobs : logprobs.slice(0, count);
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  );
}
