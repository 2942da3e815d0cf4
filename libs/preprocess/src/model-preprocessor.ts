/**
 * Everything a frontend does with the text of one model: prompts to token ids and block hashes, token ids to text.
 */
import { blockHashes } from '@dynamo-ts/native';
import type { NativeEncodeOptions, NativeEncodedPrompt, NativeTextModel } from '@dynamo-ts/native';

import { toDynamoError } from '@dynamo-ts/base';
import { TextInput, TextInput_Kind } from '@dynamo-ts/protocol';
import type { ModelDeploymentCard, SamplingOptions } from '@dynamo-ts/protocol';

import type { ModelFilePath } from './card-file.ts';
import { ChoiceDecoder } from './choice-decoder.ts';
import type { StopOptions } from './choice-decoder.ts';
import { parseGenerationDefaults, withGenerationDefaults } from './generation-defaults.ts';
import type { GenerationDefaults } from './generation-defaults.ts';
import { loadTextModel } from './text-model.ts';
import { ByteTableDecoder, NativeTokenDecoder, textOnlyDecoder } from './token-decoder.ts';
import type { TokenDecoder } from './token-decoder.ts';
import { TokenTable } from './token-table.ts';

/** What a {@link ModelPreprocessor} is loaded from. */
export interface LoadPreprocessorOptions {
  readonly card: ModelDeploymentCard;
  /** Resolved files of the card; ignored for a model whose input is text. */
  readonly files: readonly ModelFilePath[];
  /** Budget of the cache of tokenised prefixes; 0 turns it off. */
  readonly prefixCacheBytes?: number | undefined;
}

/** A prompt that is ready to be routed and sent. */
export interface PreparedPrompt {
  /** Empty when {@link textInput} is set. */
  readonly tokenIds: Uint32Array;
  /** Local hashes of the prompt's complete blocks. */
  readonly blockHashes: BigUint64Array;
  /** The rendered chat template. */
  readonly formattedPrompt?: string | undefined;
  /** The request itself, for an engine whose input is text. */
  readonly textInput?: TextInput | undefined;
  /** Tokens whose ids came from the prefix cache. */
  readonly cachedTokens: number;
  /** Time to read the body and render the chat template; undefined without one. */
  readonly templateMs?: number | undefined;
  /** Time to turn the text into ids; undefined when nothing was. */
  readonly tokenizeMs?: number | undefined;
}

/** What changes block hashes besides the tokens. */
export interface HashOptions {
  readonly loraName?: string | undefined;
  readonly salt?: string | undefined;
}

/** How any prompt is prepared. */
export interface PrepareOptions extends HashOptions {
  /** Refuses longer prompts with `request.context_length` before they are hashed. @default no limit */
  readonly maxPromptTokens?: number | undefined;
}

/** How a chat is prepared. */
export interface PrepareChatOptions extends PrepareOptions {
  /** Returns the rendered chat template too. @default false */
  readonly keepFormattedPrompt?: boolean | undefined;
  /** @default true, unless the body continues its final message */
  readonly addGenerationPrompt?: boolean | undefined;
}

/** How text is prepared. */
export interface PrepareTextOptions extends PrepareOptions {
  /** Adds what the tokenizer puts around a prompt, such as a beginning-of-sequence token. @default true */
  readonly addSpecialTokens?: boolean | undefined;
}

/** How an answer is decoded. */
export interface CreateDecoderOptions extends StopOptions {
  /** @default true */
  readonly skipSpecialTokens?: boolean | undefined;
  /** Last ids of the prompt: vocabularies that mark word starts need them to know whether a space comes first. */
  readonly promptTail?: Uint32Array | undefined;
}

/** Ids that suffice as {@link CreateDecoderOptions.promptTail}. */
const PROMPT_TAIL_TOKENS = 6;

/**
 * Prompts up to this size are prepared at once, in 15 to 30 µs. The way to another thread and back takes longer than that,
 * and a turn of a loop that is busy with other streams besides, which the first token would wait for.
 */
const AT_ONCE_BYTES = 2048;

const NO_PROMPT = {
  tokenIds: new Uint32Array(0),
  blockHashes: new BigUint64Array(0),
  cachedTokens: 0,
};

type Vocabulary =
  | { readonly kind: 'table'; readonly model: NativeTextModel; readonly table: TokenTable }
  | { readonly kind: 'native'; readonly model: NativeTextModel }
  /** The engine takes text and gives text. */
  | { readonly kind: 'engine' };

/** Text work of one model; shared by all its requests. */
export class ModelPreprocessor implements AsyncDisposable {
  readonly card: ModelDeploymentCard;
  /** Sampling values for requests that set none. */
  readonly generationDefaults: GenerationDefaults;
  readonly #vocabulary: Vocabulary;

  private constructor(card: ModelDeploymentCard, vocabulary: Vocabulary) {
    this.card = card;
    this.generationDefaults = parseGenerationDefaults(card.generationDefaultsJson);
    this.#vocabulary = vocabulary;
  }

  /**
   * Loads the tokenizer and the template of a card.
   *
   * @throws `model.invalid` naming what cannot be read
   */
  static async load(options: LoadPreprocessorOptions): Promise<ModelPreprocessor> {
    const { card, files, prefixCacheBytes } = options;
    if (card.modelInput === 'text') return ModelPreprocessor.forText(card);
    const model = await loadTextModel(files, { prefixCacheBytes });
    return new ModelPreprocessor(card, vocabularyOf(model));
  }

  /** For an engine that takes text and gives text: there is nothing to load. */
  static forText(card: ModelDeploymentCard): ModelPreprocessor {
    return new ModelPreprocessor(card, { kind: 'engine' });
  }

  /** Whether prompts become token ids here, or go to the engine as text. */
  get input(): 'tokens' | 'text' {
    return this.#vocabulary.kind === 'engine' ? 'text' : 'tokens';
  }

  /**
   * Prepares a chat from the raw JSON body of its request. Ids in `nvext.token_data` are the prompt, without a template.
   *
   * @throws `request.invalid` when the template refuses the messages
   */
  async prepareChat(body: Uint8Array, options: PrepareChatOptions = {}): Promise<PreparedPrompt> {
    const vocabulary = this.#vocabulary;
    if (vocabulary.kind === 'engine') return textPrompt(TextInput_Kind.KIND_CHAT, body);
    const { model } = vocabulary;
    const settings = this.#encodeOptions(options);
    return body.byteLength <= AT_ONCE_BYTES
      ? encoded(() => model.encodeChatNow(body, settings))
      : encoded(() => model.encodeChat(body, settings));
  }

  /** Prepares a completion's text prompt. `body` is what an engine whose input is text is sent. */
  async prepareText(
    text: string,
    options: PrepareTextOptions & { readonly body?: Uint8Array } = {},
  ): Promise<PreparedPrompt> {
    const vocabulary = this.#vocabulary;
    const { body, ...wanted } = options;
    if (vocabulary.kind === 'engine') {
      const own = body ?? new TextEncoder().encode(JSON.stringify({ prompt: text }));
      return textPrompt(TextInput_Kind.KIND_COMPLETION, own);
    }
    const { model } = vocabulary;
    const settings = this.#encodeOptions(wanted);
    return Buffer.byteLength(text) <= AT_ONCE_BYTES
      ? encoded(() => model.encodeTextNow(text, settings))
      : encoded(() => model.encodeText(text, settings));
  }

  /** Prepares one of the prompts of a completion from the raw JSON body, so that large texts stay out of JavaScript. */
  async prepareCompletion(
    body: Uint8Array,
    promptIndex: number,
    options: PrepareTextOptions = {},
  ): Promise<PreparedPrompt> {
    const vocabulary = this.#vocabulary;
    if (vocabulary.kind === 'engine') return textPrompt(TextInput_Kind.KIND_COMPLETION, body);
    const settings = this.#encodeOptions(options);
    const { model } = vocabulary;
    return encoded(() => model.encodeCompletion(body, promptIndex, settings));
  }

  /** Prepares a prompt that is token ids already. */
  prepareTokens(tokenIds: Uint32Array, options: HashOptions = {}): PreparedPrompt {
    const { loraName = '', salt = '' } = options;
    const hashes = blockHashes(tokenIds, this.#blockSize, loraName, salt);
    return { tokenIds, blockHashes: hashes, cachedTokens: 0 };
  }

  /** Fills sampling values that the request does not set. */
  withDefaults(sampling: SamplingOptions): SamplingOptions {
    return withGenerationDefaults(sampling, this.generationDefaults);
  }

  /** A decoder for one choice; the card's end-of-sequence ids are added. */
  createDecoder(options: CreateDecoderOptions = {}): ChoiceDecoder {
    const { skipSpecialTokens = true, promptTail, ...stop } = options;
    return new ChoiceDecoder({
      ...stop,
      eosTokenIds: stop.eosTokenIds ?? this.card.eosTokenIds,
      decoder: this.#tokenDecoder(skipSpecialTokens, promptTail),
    });
  }

  /** The text of one id by itself, for logprobs; pieces of characters show as U+FFFD. */
  tokenText(id: number): string {
    switch (this.#vocabulary.kind) {
      case 'table':
        return this.#vocabulary.table.tryText(id) ?? this.tokenBytes(id).toString();
      case 'native':
        return this.#vocabulary.model.decode(Uint32Array.of(id), false);
      case 'engine':
        return '';
    }
  }

  /** The bytes of one id, for logprobs. */
  tokenBytes(id: number): Buffer {
    return this.#vocabulary.kind === 'table'
      ? this.#vocabulary.table.bytesOf(id)
      : Buffer.from(this.tokenText(id));
  }

  /** Bytes and kind of every id, for engines that make tokens themselves; empty for a model whose input is text. */
  tokenTable(): TokenTable {
    switch (this.#vocabulary.kind) {
      case 'table':
        return this.#vocabulary.table;
      case 'native':
        return new TokenTable(this.#vocabulary.model.tokenTable());
      case 'engine':
        return new TokenTable({
          bytes: new Uint8Array(),
          offsets: new Uint32Array(),
          flags: new Uint8Array(),
        });
    }
  }

  /** Bytes held outside the JavaScript heap. */
  memoryBytes(): number {
    return this.#vocabulary.kind === 'engine' ? 0 : this.#vocabulary.model.memoryBytes();
  }

  /** Releases the native model. Idempotent. */
  close(): Promise<void> {
    if (this.#vocabulary.kind !== 'engine') this.#vocabulary.model.close();
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #blockSize(): number {
    return this.card.kvCacheBlockSize;
  }

  /** The addon reads `undefined` as absent, which its generated types do not say. */
  #encodeOptions(options: PrepareTextOptions & PrepareChatOptions): NativeEncodeOptions {
    const { addSpecialTokens = true } = options;
    return { ...options, addSpecialTokens, blockSize: this.#blockSize } as NativeEncodeOptions;
  }

  #tokenDecoder(skipSpecialTokens: boolean, promptTail: Uint32Array | undefined): TokenDecoder {
    switch (this.#vocabulary.kind) {
      case 'table':
        return new ByteTableDecoder({ table: this.#vocabulary.table, skipSpecialTokens });
      case 'native': {
        const tail = promptTail?.slice(-PROMPT_TAIL_TOKENS);
        return new NativeTokenDecoder(
          this.#vocabulary.model.createDecoder(skipSpecialTokens, tail),
        );
      }
      case 'engine':
        return textOnlyDecoder;
    }
  }
}

function vocabularyOf(model: NativeTextModel): Vocabulary {
  return model.byteLevel
    ? { kind: 'table', model, table: new TokenTable(model.tokenTable()) }
    : { kind: 'native', model };
}

function textPrompt(kind: TextInput_Kind, bodyJson: Uint8Array): PreparedPrompt {
  return { ...NO_PROMPT, textInput: TextInput.create({ kind, bodyJson: Buffer.from(bodyJson) }) };
}

async function encoded(
  call: () => NativeEncodedPrompt | Promise<NativeEncodedPrompt>,
): Promise<PreparedPrompt> {
  try {
    return await call();
  } catch (error) {
    throw toDynamoError(error, 'request.invalid');
  }
}
