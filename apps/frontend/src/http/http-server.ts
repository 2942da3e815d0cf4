/**
 * The HTTP server: routes, error form, limits.
 *
 * Limits: headers within 60 s and 96 KiB, the whole request within 5 minutes (against clients that send drop by drop);
 * none on answers, which may stream for hours.
 */
import { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

import {
  DynamoError,
  failureReason,
  isErrorCode,
  isSystemError,
  toDynamoError,
} from '@dynamo-ts/base';
import { toPublicError } from '@dynamo-ts/openai';
import type { Logger } from '@dynamo-ts/telemetry';
import { fastify } from 'fastify';
import type { FastifyInstance, FastifyReply } from 'fastify';

import { AllowedMethods } from './allowed-methods.ts';
import type { GenerationHandler } from './generation-handler.ts';
import { CHAT_ENDPOINT, COMPLETION_ENDPOINT } from './generation-endpoint.ts';
import type { GenerationEndpoint } from './generation-endpoint.ts';

/** Longest time in which a request, body included, must have arrived. */
const REQUEST_TIMEOUT_MS = 300_000;
/** 64 KiB of request metadata, which has its own limit, and room for the rest. */
const MAX_HEADER_BYTES = 96 * 1024;
/** Longer than the idle timeouts of usual load balancers, so that they close first. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;

/** Paths of the generating endpoints. */
export interface GenerationPaths {
  readonly chat: string;
  readonly completions: string;
}

/** Makes the server without routes. */
export function createHttpServer(logger: Logger, overloadStatus: number): FastifyInstance {
  const sendError = async (reply: FastifyReply, error: unknown): Promise<void> => {
    const { status, body, retryAfterSeconds } = toPublicError(error, { overloadStatus });
    if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds);
    await reply.code(status).send(body);
  };
  const app = fastify({
    logger: false,
    // What Fastify refuses before it looks for a route, such as a path with broken escapes.
    frameworkErrors: (error, _request, reply) => {
      void sendError(reply, fastifyError(error));
    },
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    http: { maxHeaderSize: MAX_HEADER_BYTES },
    return503OnClosing: false,
    exposeHeadRoutes: true,
    clientErrorHandler: answerClientError,
  });
  // Bodies are read by the handlers that want one: they decide about limits and large bodies.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => {
    done(null);
  });
  const allowed = new AllowedMethods();
  app.addHook('onRoute', ({ url, method }) => allowed.add(url, method));
  app.setNotFoundHandler(async (request, reply) => {
    const methods = allowed.of(request.url);
    if (methods.length > 0) reply.header('allow', methods.join(', '));
    const what = `${request.method} ${request.url.slice(0, 256)}`;
    await sendError(reply, noSuchRoute(what, methods, allowed.meant(request.url)));
  });
  app.setErrorHandler(async (error, request, reply) => {
    const known = fastifyError(error);
    if (known.info.http >= 500) logger.error('request failed', { url: request.url, error });
    await sendError(reply, known);
  });
  return app;
}

/** Adds the generating endpoints. */
export function addGenerationRoutes(
  app: FastifyInstance,
  handler: GenerationHandler,
  paths: GenerationPaths,
): void {
  addGenerationRoute(app, handler, paths.chat, CHAT_ENDPOINT);
  addGenerationRoute(app, handler, paths.completions, COMPLETION_ENDPOINT);
}

/** Adds one generating endpoint. */
export function addGenerationRoute(
  app: FastifyInstance,
  handler: GenerationHandler,
  path: string,
  endpoint: GenerationEndpoint,
): void {
  app.post(path, async (request, reply) => {
    reply.hijack();
    await handler.handle(endpoint, request.raw, reply.raw);
  });
}

/**
 * Opens the port.
 *
 * @param hint what a user can do about a taken one
 * @throws `config.port_in_use`, `config.invalid` naming the address
 */
export async function listen(
  app: FastifyInstance,
  address: { readonly host: string; readonly port: number },
  hint: string,
): Promise<void> {
  const { host, port } = address;
  try {
    await app.listen({ host, port });
  } catch (cause) {
    const inUse = isSystemError(cause) && cause.code === 'EADDRINUSE';
    throw new DynamoError(
      inUse ? 'config.port_in_use' : 'config.invalid',
      `could not bind to address: ${host}:${port}${inUse ? ` is in use; ${hint}` : ` (${failureReason(cause)})`}`,
      { cause },
    );
  }
}

function noSuchRoute(what: string, allowed: readonly string[], meant: string): DynamoError {
  return allowed.length === 0
    ? new DynamoError('request.not_found', `There is no ${what}${meant === '' ? '.' : meant}`)
    : new DynamoError(
        'request.method_not_allowed',
        `There is no ${what}; this path takes ${allowed.join(', ')}.`,
      );
}

/** Fastify's own errors about malformed requests are the client's. */
function fastifyError(error: unknown): DynamoError {
  const status = statusOf(error);
  const isOwn = typeof error === 'object' && error !== null && 'code' in error;
  const code = isOwn && typeof error.code === 'string' && isErrorCode(error.code);
  if (code || status === undefined || status >= 500) return toDynamoError(error);
  const message = error instanceof Error ? error.message : 'malformed request';
  const known = status === 415 ? 'request.unsupported_media' : 'request.invalid';
  return new DynamoError(known, message, { cause: error });
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return undefined;
  return typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

const CLIENT_ERRORS: Readonly<Record<string, { status: string; error: DynamoError }>> = {
  HPE_HEADER_OVERFLOW: {
    status: '431 Request Header Fields Too Large',
    error: new DynamoError('request.headers_too_large', 'The request headers are too large.'),
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: '408 Request Timeout',
    error: new DynamoError('request.invalid', 'The request did not arrive in time.'),
  },
};
const MALFORMED = {
  status: '400 Bad Request',
  error: new DynamoError('request.invalid', 'The request is not valid HTTP.'),
};

/** Answers what Node could not parse as a request; in the middle of an answer nothing can be said any more. */
function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  const isLost = error.code === 'ECONNRESET' || socket.destroyed || !socket.writable;
  if (isLost || isAnswering(socket)) {
    socket.destroy();
    return;
  }
  const { status, error: known } = CLIENT_ERRORS[error.code ?? ''] ?? MALFORMED;
  const json = JSON.stringify(toPublicError(known).body);
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(json)}\r\nconnection: close\r\n\r\n${json}`,
  );
}

/** Whether an answer has begun on the connection, by the field that Node's own handler looks at. */
function isAnswering(socket: Socket): boolean {
  const message: unknown = Reflect.get(socket, '_httpMessage');
  return message instanceof ServerResponse && message.headersSent;
}
