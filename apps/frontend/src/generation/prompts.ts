/** From a request to prompts that are ready to send: template, token ids, block hashes (RF 3.16, 4.4). */
import type { ChatRequest, CompletionPrompt, CompletionRequest } from '@dynamo-ts/openai';
import type { HashOptions } from '@dynamo-ts/preprocess';
import { GenerateResponse } from '@dynamo-ts/protocol';

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
  if (nvext?.token_data !== undefined && model.preprocessor.input === 'tokens') {
    const tokenIds = Uint32Array.from(nvext.token_data);
    return [{ prompt: model.preprocessor.prepareTokens(tokenIds, hash), echo: '' }];
  }
  if (nvext?.use_raw_prompt === true && model.preprocessor.input === 'tokens') {
    const prompt = await model.preprocessor.prepareText(lastText(received), hash);
    return [{ prompt, echo: '' }];
  }
  const prompt = await model.preprocessor.prepareChat(bytes, {
    ...hash,
    addGenerationPrompt: request.add_generation_prompt,
  });
  const textBody = (choice: number): Uint8Array => answerBody(received, choice, {});
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
    prompts.map(async (source, index) => ({
      prompt: await prepareOne(model, received, { source, index, hash }),
      echo: echo === true ? echoText(model, source) : '',
      textBody: (choice: number) => answerBody(received, choice, { prompt: rawPrompt(source) }),
    })),
  );
}

interface OnePrompt {
  readonly source: CompletionPrompt;
  readonly index: number;
  readonly hash: HashOptions;
}

async function prepareOne(
  model: ServedModel,
  received: ReceivedRequest<CompletionRequest>,
  { source, index, hash }: OnePrompt,
): Promise<PlannedPrompt['prompt']> {
  const { preprocessor } = model;
  const { bytes, value, request } = received;
  const { add_special_tokens: addSpecialTokens } = request;
  if (preprocessor.input === 'text') return preprocessor.prepareText('', { body: bytes });
  if (source.kind === 'tokens') {
    return preprocessor.prepareTokens(Uint32Array.from(source.tokenIds), hash);
  }
  if (value === undefined) {
    return preprocessor.prepareCompletion(bytes, index, { ...hash, addSpecialTokens });
  }
  return preprocessor.prepareText(source.text, { ...hash, addSpecialTokens });
}

/** An engine whose input is text gets the client's body, as if this choice were asked for alone. */
function answerBody(
  { bytes, value, request }: ReceivedRequest<ChatRequest | CompletionRequest>,
  choice: number,
  overrides: Readonly<Record<string, unknown>>,
): Uint8Array {
  const isAlone = (request.n ?? 1) === 1 && !('prompt' in overrides && hasSeveralPrompts(request));
  if (isAlone) return bytes;
  const body = (value ?? JSON.parse(Buffer.from(bytes).toString())) as Record<string, unknown>; // validated before
  const seed = request.seed === undefined ? {} : { seed: request.seed + choice };
  return Buffer.from(JSON.stringify({ ...body, ...overrides, ...seed, n: 1 }));
}

function hasSeveralPrompts(request: ChatRequest | CompletionRequest): boolean {
  return 'prompt' in request && request.prompt.length > 1;
}

function rawPrompt(source: CompletionPrompt): unknown {
  return source.kind === 'text' ? source.text : source.tokenIds;
}

function echoText(model: ServedModel, source: CompletionPrompt): string {
  if (source.kind === 'text') return source.text;
  const decoder = model.preprocessor.createDecoder({ ignoreEos: true, skipSpecialTokens: true });
  const tokenIdsLe = new Uint8Array(Uint32Array.from(source.tokenIds).buffer);
  return decoder.push(GenerateResponse.fromPartial({ tokenIdsLe })).text + decoder.flush();
}

/** Text of the last message, for `use_raw_prompt`. */
function lastText({ value, bytes }: ReceivedRequest<ChatRequest>): string {
  const body = (value ?? JSON.parse(Buffer.from(bytes).toString())) as ChatRequest; // validated before
  const content = body.messages.at(-1)?.content ?? '';
  if (typeof content === 'string') return content;
  return content.map((part) => (typeof part['text'] === 'string' ? part['text'] : '')).join('');
}
