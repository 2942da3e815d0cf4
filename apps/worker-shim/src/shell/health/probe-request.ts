/** The request of one token by which the canary asks an engine whether it works (RP 11.5), and what may replace it. */
import { readFileSync } from 'node:fs';

import { DynamoError } from '@dynamo-ts/base';
import { GenerateRequest, TextInput_Kind, tokenIdsToBytes } from '@dynamo-ts/protocol';
import type { ModelDeploymentCard } from '@dynamo-ts/protocol';

/** What an operator may say about the probe; the rest is as the reference's default payload. */
export interface ProbePayload {
  /** For engines that take token ids. */
  readonly tokenIds?: readonly number[];
  /** For engines that take text. */
  readonly prompt?: string;
  /** @default 1 */
  readonly maxTokens?: number;
  /** @default 0 */
  readonly temperature?: number;
}

/** The encoded probe of a model. */
export function probeRequest(card: ModelDeploymentCard, payload: ProbePayload = {}): Uint8Array {
  const { prompt = 'Test', maxTokens = 1, temperature = 0 } = payload;
  const ask = { prompt, max_tokens: maxTokens, temperature };
  const tokenIds = Uint32Array.from(payload.tokenIds ?? [card.bosTokenId ?? 1]);
  const request = GenerateRequest.fromPartial({
    model: card.displayName,
    probe: true,
    samplingOptions: { temperature },
    stopConditions: { maxTokens },
    ...(card.modelInput === 'text'
      ? {
          textInput: {
            kind: TextInput_Kind.KIND_COMPLETION,
            bodyJson: Buffer.from(JSON.stringify(ask)),
          },
        }
      : { tokenIdsLe: Buffer.from(tokenIdsToBytes(tokenIds)) }),
  });
  return GenerateRequest.encode(request).finish();
}

/**
 * Reads `DYN_HEALTH_CHECK_PAYLOAD`: JSON, or `@file` with JSON, with `token_ids` or `prompt`, `stop_conditions.max_tokens`
 * (or `max_tokens`) and `sampling_options.temperature` (or `temperature`); other fields are ignored.
 *
 * @throws `config.invalid`
 */
export function readProbePayload(text: string): ProbePayload {
  const json = parseObject(text);
  const stop = objectOf(json['stop_conditions']);
  const sampling = objectOf(json['sampling_options']);
  const tokenIds = json['token_ids'];
  const prompt = json['prompt'];
  if (tokenIds !== undefined && !isTokenIds(tokenIds)) {
    throw invalid('token_ids must be a list of token ids');
  }
  if (prompt !== undefined && typeof prompt !== 'string') throw invalid('prompt must be a text');
  return {
    ...(tokenIds === undefined ? {} : { tokenIds }),
    ...(prompt === undefined ? {} : { prompt }),
    ...numberOf('maxTokens', stop['max_tokens'] ?? json['max_tokens']),
    ...numberOf('temperature', sampling['temperature'] ?? json['temperature']),
  };
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(
      text.startsWith('@') ? readFileSync(text.slice(1), 'utf8') : text,
    );
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return { ...json };
  } catch (error) {
    throw invalid('it cannot be read as JSON', error);
  }
  throw invalid('it is no JSON object');
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function isTokenIds(value: unknown): value is readonly number[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((id) => Number.isInteger(id) && id >= 0 && id <= 0xffff_ffff)
  );
}

function numberOf(name: 'maxTokens' | 'temperature', value: unknown): ProbePayload {
  if (value === undefined || value === null) return {};
  if (typeof value === 'number' && value >= 0) return { [name]: value };
  throw invalid(`${name} must be a number`);
}

function invalid(what: string, cause?: unknown): DynamoError {
  return new DynamoError('config.invalid', `--health-check-payload: ${what}`, { cause });
}
