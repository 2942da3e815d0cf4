/**
 * Requests to engines whose input is text: the client's own body goes to the engine's OpenAI endpoint, and its deltas come
 * back as they are.
 */
import { DynamoError } from '@dynamo-ts/base';
import { TextInput_Kind } from '@dynamo-ts/protocol';
import type { GenerateRequest } from '@dynamo-ts/protocol';

import { numberOf, recordOf, stringOf } from '../../http/json-fields.ts';
import type { JsonRecord } from '../../http/json-fields.ts';
import type { HttpQuestion, PartialResponse } from '../http-answers.ts';
import { OpenAiReader, readLogprobs } from './openai-reader.ts';

/** Where a text request goes. */
export interface TextTarget {
  /** The engine's own name of the model. */
  readonly model: string;
  /** Named in errors. */
  readonly address: string;
}

/** The question to put to the engine. @throws `request.invalid` when the request carries no text */
export function textQuestion(request: GenerateRequest, target: TextTarget): HttpQuestion {
  const input = request.textInput;
  if (input === undefined) {
    throw new DynamoError(
      'request.invalid',
      `the engine at ${target.address} takes text, but the request carries token ids`,
    );
  }
  const { nvext: _nvext, ...body } = parseBody(input.bodyJson);
  const isChat = input.kind === TextInput_Kind.KIND_CHAT;
  return {
    path: isChat ? '/v1/chat/completions' : '/v1/completions',
    json: JSON.stringify({
      ...body,
      model: target.model,
      stream: true,
      stream_options: { ...recordOf(body['stream_options']), include_usage: true },
    }),
    promptTokens: 0,
    reader: new OpenAiReader({
      address: target.address,
      choices: (numberOf(body['n']) ?? 1) * promptCount(body, isChat),
      readChoice: isChat ? readChatChoice : readCompletionChoice,
      stopMeansEos: false,
    }),
  };
}

function parseBody(bytes: Uint8Array): JsonRecord {
  try {
    return recordOf(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (error) {
    throw new DynamoError('request.invalid', 'the body of the request is no JSON', {
      cause: error,
    });
  }
}

/** Each text of a list of prompts gets its own choices; a list of numbers is one prompt. */
function promptCount(body: JsonRecord, isChat: boolean): number {
  const prompt = body['prompt'];
  if (isChat || !Array.isArray(prompt) || typeof prompt[0] === 'number') return 1;
  return Math.max(1, prompt.length);
}

const encoder = new TextEncoder();

function readChatChoice(choice: JsonRecord): PartialResponse {
  const delta = recordOf(choice['delta']);
  if (Object.keys(delta).length === 0) return logprobsOf(choice);
  const content = stringOf(delta['content']);
  return {
    deltaJson: encoder.encode(JSON.stringify(delta)),
    ...(content === undefined ? {} : { text: content }),
    ...logprobsOf(choice),
  };
}

function readCompletionChoice(choice: JsonRecord): PartialResponse {
  const text = stringOf(choice['text']);
  return text === undefined || text === '' ? {} : { text, ...logprobsOf(choice) };
}

function logprobsOf(choice: JsonRecord): Pick<PartialResponse, 'logprobs'> {
  const reported = readLogprobs(choice);
  if (reported.length === 0) return {};
  return {
    logprobs: reported.map(({ token, logprob, top }) => ({
      tokenId: 0,
      token,
      logprob,
      top: top.map((candidate) => ({ tokenId: 0, ...candidate })),
    })),
  };
}
