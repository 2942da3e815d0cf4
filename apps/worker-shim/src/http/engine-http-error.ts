/** What an engine's HTTP failures mean to the rest of the system. */
import { DynamoError } from '@dynamo-ts/base';
import type { ErrorCode } from '@dynamo-ts/base';

import { numberOf, parseRecord, recordOf, stringOf } from './json-fields.ts';

/** The engine could not be reached, or its connection broke: another instance may do. */
export function connectionError(address: string, cause: unknown): DynamoError {
  const what = cause instanceof Error ? (codeOf(cause) ?? cause.message) : String(cause);
  return new DynamoError(
    'backend.engine_shutdown',
    `the engine at ${address} cannot be reached (${what})`,
    { cause },
  );
}

/** What an answer with another status than 200 means; the engine's own message is kept for 4xx. */
export function statusError(address: string, status: number, body: string): DynamoError {
  const report = readErrorBody(body);
  const context = contextLengthError(report);
  if (context !== undefined) return context;
  const message = `the engine at ${address} answered ${status}: ${report.message || 'no message'}`;
  const code = codeOfStatus(status);
  return new DynamoError(code, code === 'request.invalid' ? report.message || message : message);
}

/** The error that an engine reports inside its stream. */
export function streamError(address: string, json: string): DynamoError {
  const report = readErrorBody(json);
  return (
    contextLengthError(report) ??
    new DynamoError(
      report.status >= 400 && report.status < 500 ? 'request.invalid' : 'backend.error',
      `the engine at ${address} failed: ${report.message || json.slice(0, 200)}`,
    )
  );
}

interface ErrorReport {
  readonly message: string;
  readonly status: number;
  readonly promptTokens: number | undefined;
  readonly contextLength: number | undefined;
}

function codeOfStatus(status: number): ErrorCode {
  if (status === 429) return 'capacity.worker_overloaded';
  if (status === 503 || status === 502) return 'backend.engine_shutdown';
  if (status === 413) return 'request.payload_too_large';
  return status >= 400 && status < 500 && status !== 401 && status !== 403 && status !== 404
    ? 'request.invalid'
    : 'backend.error';
}

function contextLengthError(report: ErrorReport): DynamoError | undefined {
  const { promptTokens, contextLength } = report;
  if (promptTokens === undefined || contextLength === undefined) return undefined;
  return new DynamoError(
    'request.context_length',
    `the prompt has ${promptTokens} tokens, the context length of the model is ${contextLength}`,
    { details: { prompt_tokens: promptTokens, context_length: contextLength } },
  );
}

/** Reads `{"error":{"message","code",…}}`, `{"message",…}` and `{"detail":…}`; anything else is its own message. */
function readErrorBody(body: string): ErrorReport {
  const outer = parseRecord(body);
  const inner = typeof outer['error'] === 'object' ? recordOf(outer['error']) : outer;
  const message = inner['message'] ?? inner['detail'] ?? outer['error'];
  return {
    message: stringOf(message) ?? body.slice(0, 500),
    status: numberOf(inner['code']) ?? 500,
    promptTokens: numberOf(inner['n_prompt_tokens']),
    contextLength: numberOf(inner['n_ctx']),
  };
}

function codeOf(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
