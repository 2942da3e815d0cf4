/**
 * Reads request bodies up to a limit.
 *
 * A body over the limit is refused at once but its bytes are read and thrown away, never reset: a client that is still
 * sending can then read the answer.
 */
import type { IncomingMessage } from 'node:http';

import { AbortReasonError, DynamoError } from '@dynamo-ts/base';

const JSON_MEDIA_TYPE = /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;

/** Refuses a body that does not say it is JSON. @throws `request.unsupported_media` */
export function requireJson(request: IncomingMessage): void {
  const type = request.headers['content-type'];
  if (type !== undefined && JSON_MEDIA_TYPE.test(type.trim())) return;
  throw new DynamoError(
    'request.unsupported_media',
    `Content-Type must be application/json, got ${type === undefined ? 'none' : `"${type.slice(0, 80)}"`}`,
  );
}

/**
 * The whole body.
 *
 * @throws `request.payload_too_large`, `request.cancelled` when the client leaves while sending
 */
export function readBody(request: IncomingMessage, limitBytes: number): Promise<Uint8Array> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > limitBytes) {
    request.resume();
    return Promise.reject(tooLarge(limitBytes, declared));
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= limitBytes) chunks.push(chunk);
      else {
        chunks.length = 0;
        reject(tooLarge(limitBytes, size));
      }
    });
    request.once('end', () => {
      const [first] = chunks;
      resolve(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks));
    });
    request.once('error', () => {
      reject(new AbortReasonError('client-gone'));
    });
    request.once('close', () => {
      if (!request.complete) reject(new AbortReasonError('client-gone'));
    });
  });
}

function tooLarge(limit: number, actual: number): DynamoError {
  return new DynamoError(
    'request.payload_too_large',
    `The request body is larger than the limit of ${limit} bytes.`,
    { details: { limit, actual } },
  );
}
