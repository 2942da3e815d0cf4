/**
 * One request to a generating endpoint and its answer: ids, context, and the ways an answer can end.
 *
 * The connection is watched from the start: a client that leaves kills the context at once, in every phase.
 */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';

import { AbortReasonError } from '@dynamo-ts/base';
import { sseError, toPublicError } from '@dynamo-ts/openai';
import type { PublicErrorOptions } from '@dynamo-ts/openai';
import type { Placement } from '@dynamo-ts/routing';
import { Context } from '@dynamo-ts/runtime';
import { extractTraceContext, injectTraceContext } from '@dynamo-ts/telemetry';
import type { Span, Tracer } from '@dynamo-ts/telemetry';

import { requestIds } from './request-headers.ts';
import type { RequestIds } from './request-headers.ts';
import type { SseWriter } from './sse-writer.ts';

const DECISION_HEADER = 'x-dynamo-decision-id';

/** What an {@link Exchange} is made of. */
export interface ExchangeOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly tracer: Tracer;
  readonly errors: PublicErrorOptions;
}

/** One request and its answer. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly ids: RequestIds;
  readonly span: Span;
  readonly context: Context;
  /** Headers of every answer. */
  readonly headers: OutgoingHttpHeaders;
  /** `performance.now()` at receipt. */
  readonly receivedMs: number = performance.now();
  readonly #errors: PublicErrorOptions;

  constructor({ request, response, tracer, errors }: ExchangeOptions) {
    this.request = request;
    this.response = response;
    this.#errors = errors;
    this.ids = requestIds(request.headers);
    const { requestId, clientRequestId } = this.ids;
    this.headers = { 'x-request-id': clientRequestId, 'x-dynamo-request-id': requestId };
    this.span = tracer.startSpan('http-request', {
      parent: extractTraceContext(request.headers),
      kind: 'server',
      attributes: {
        method: request.method ?? '',
        uri: request.url ?? '',
        version: request.httpVersion,
        request_id: requestId,
        x_request_id: clientRequestId,
      },
    });
    const headers = injectTraceContext(this.span.context, { 'x-request-id': clientRequestId });
    this.context = new Context({ id: requestId, headers });
    response.once('close', () => {
      if (!response.writableFinished) this.context.kill('client-gone');
    });
  }

  /** Names the decisions so far in the answer's headers. */
  placed({ decisionId }: Pick<Placement, 'decisionId'>): void {
    if (decisionId !== undefined) this.headers[DECISION_HEADER] = decisionId;
  }

  /** Answers with JSON. */
  sendJson(status: number, json: string, headers: OutgoingHttpHeaders = {}): void {
    if (this.response.destroyed) return;
    this.response.writeHead(status, {
      ...this.headers,
      ...headers,
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(json),
    });
    this.response.end(json);
  }

  /** Answers with an error: a status before the first event, an event after it. */
  fail(error: unknown, writer?: SseWriter): void {
    const { status, body, retryAfterSeconds } = toPublicError(error, this.#errors);
    if (writer?.started === true) {
      writer.end(sseError(body));
      return;
    }
    const retry =
      retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) };
    this.sendJson(status, JSON.stringify(body), retry);
  }

  /** Whether the client left before its answer was complete. */
  get clientGone(): boolean {
    const reason: unknown = this.context.killed.reason;
    return reason instanceof AbortReasonError && reason.reason === 'client-gone';
  }
}
