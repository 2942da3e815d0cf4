/** From a request to prompts that are ready to send: template, token ids, block hashes (RF 3.16, 4.4). */
import { DynamoError, hasCode } from '@dynamo-ts/base';
import type { ChatRequest, CompletionPrompt, CompletionRequest } from '@dynamo-ts/openai';
import type { HashOptions, PreparedPrompt } from '@dynamo-ts/preprocess';
import { GenerateResponse, tokenIdsToBytes } from '@dynamo-ts/protocol';

import type { ServedModel } from '../models/served-model.ts';
import type { PlannedPrompt } from './choice-plan.ts';

/** A request with the bytes it came from. */
export interface ReceivedRequest<Request> {
  readonly request: Request;
  /** Body as JSON, repaired where needed. */
  readonly bytes: Uint8Array;
  /** Parsed body; undefined for a large one, whose texts stay out of JavaScript. */
  readonly value: unknown;
}

/** Prepares a chat. */
export async function prepareChat(
  model: ServedModel,
  received: ReceivedRequest<ChatRequest>,
  hash: HashOptions,
): Promise<readonly PlannedPrompt[]> {
  const { request, bytes } = received;
  const { nvext } = request;
  const isRaw = nvext?.use_raw_prompt === true && nvext.token_data === undefined;
  if (isRaw && model.preprocessor.input === 'tokens') {
    const prompt = await model.preprocessor.prepareText(lastText(received), hash);
    return [{ prompt, echo: '' }];
  }
  const prompt = await model.preprocessor.prepareChat(bytes, {
    ...hash,
    addGenerationPrompt: request.add_generation_prompt,
    keepFormattedPrompt: nvext?.annotations?.includes('formatted_prompt') === true,
  });
  const textBody = (choice: number): Uint8Array => answerBody(received, choice);
  return [{ prompt, echo: '', textBody }];
}

/** Prepares the prompts of a completion. */
export async function prepareCompletion(
  model: ServedModel,
  received: ReceivedRequest<CompletionRequest>,
  hash: HashOptions,
): Promise<readonly PlannedPrompt[]> {
  const { prompt: prompts, echo } = received.request;
  return Promise.all(
    prompts.map(async ({ kind }, index) => {
      const prompt = await prepareOne(model, received, { kind, index, hash }).catch(
        (error: unknown) => {
          throw aboutPrompt(error, prompts.length > 1 ? `prompt[${index}]` : 'prompt');
        },
      );
      return {
        prompt,
        echo: echo === true ? echoText(model, prompt, promptAt(received, index)) : '',
        textBody: (choice: number) => answerBody(received, choice, index),
      };
    }),
  );
}

/** What is wrong with a prompt, such as a token id that the model does not have, with its place in the body. */
function aboutPrompt(error: unknown, place: string): unknown {
  if (!hasCode(error, 'request.invalid')) return error;
  const details = { param: 'prompt', ...error.details };
  return new DynamoError(error.code, `${place}: ${error.message}`, { details, cause: error });
}

interface OnePrompt {
  readonly kind: CompletionPrompt['kind'];
  readonly index: number;
  readonly hash: HashOptions;
}

async function prepareOne(
  { preprocessor }: ServedModel,
  received: ReceivedRequest<CompletionRequest>,
  { kind, index, hash }: OnePrompt,
): Promise<PreparedPrompt> {
  const { bytes, value, request } = received;
  const options = { ...hash, addSpecialTokens: request.add_special_tokens };
  if (preprocessor.input === 'text') return preprocessor.prepareText('', { body: bytes });
  // Large texts stay out of JavaScript, and ids are checked against the vocabulary natively.
  if (value === undefined || kind === 'tokens') {
    return preprocessor.prepareCompletion(bytes, index, options);
  }
  const { prompt: prompts } = request;
  const source = prompts[index];
  return preprocessor.prepareText(source?.kind === 'text' ? source.text : '', options);
}

/** An engine whose input is text gets the client's body, as if this choice were asked for alone. */
function answerBody(
  received: ReceivedRequest<ChatRequest | CompletionRequest>,
  choice: number,
  promptIndex?: number,
): Uint8Array {
  const { bytes, request } = received;
  const isOnlyPrompt = !('prompt' in request) || request.prompt.length === 1;
  const echo = 'echo' in request && request.echo === true;
  if ((request.n ?? 1) === 1 && isOnlyPrompt && !echo) return bytes;
  const body: Record<string, unknown> = { ...fullBody(received), n: 1 };
  // Not every engine echoes, so a text is echoed here; ids, whose text only the engine knows, are left to it.
  if (echo) body['echo'] = typeof promptAt(received, promptIndex ?? 0) !== 'string';
  if (request.seed !== undefined) body['seed'] = request.seed + choice;
  if (promptIndex !== undefined) body['prompt'] = promptAt(received, promptIndex);
  return Buffer.from(JSON.stringify(body));
}

/** Large bodies that had to be parsed here; a request with many prompts asks for its body once per prompt. */
const parsedBodies = new WeakMap<Uint8Array, unknown>();

/** The whole body; for the rare uses that need the texts of a large one. */
function fullBody({
  bytes,
  value,
}: ReceivedRequest<ChatRequest | CompletionRequest>): Readonly<Record<string, unknown>> {
  const body: unknown =
    value ?? parsedBodies.get(bytes) ?? JSON.parse(Buffer.from(bytes).toString());
  if (value === undefined) parsedBodies.set(bytes, body);
  return body as Readonly<Record<string, unknown>>; // validated before
}

/** One of the prompts as the client wrote it. */
function promptAt(
  received: ReceivedRequest<ChatRequest | CompletionRequest>,
  index: number,
): unknown {
  const prompt = fullBody(received)['prompt'];
  const isList = Array.isArray(prompt) && typeof prompt[0] !== 'number';
  return isList ? (prompt[index] as unknown) : prompt;
}

function echoText(
  { preprocessor }: ServedModel,
  prepared: PreparedPrompt,
  prompt: unknown,
): string {
  if (typeof prompt === 'string') return prompt;
  if (preprocessor.input === 'text') return '';
  const decoder = preprocessor.createDecoder({ ignoreEos: true, skipSpecialTokens: true });
  const tokenIdsLe = Buffer.from(tokenIdsToBytes(prepared.tokenIds));
  return decoder.push(GenerateResponse.fromPartial({ tokenIdsLe })).text + decoder.flush();
}

/** Text of the last message, for `use_raw_prompt`. */
function lastText(received: ReceivedRequest<ChatRequest>): string {
  const { messages } = fullBody(received) as unknown as ChatRequest; // validated before
  const content = messages.at(-1)?.content ?? '';
  if (typeof content === 'string') return content;
  return content.map((part) => (typeof part['text'] === 'string' ? part['text'] : '')).join('');
}
