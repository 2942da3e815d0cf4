/**
 * Request metadata in headers (RF 3.9): every header with the prefix travels with the request to the worker, under its
 * whole name. Of repeated headers the first one counts.
 */
import type { IncomingMessage } from 'node:http';

import { DynamoError } from '@dynamo-ts/base';

const MAX_ENTRIES = 64;
const MAX_BYTES = 64 * 1024;

/** The metadata of a request. @throws `request.headers_too_large` beyond 64 entries or 64 KiB */
export function metadataHeaders(
  request: Pick<IncomingMessage, 'headers' | 'headersDistinct'>,
  prefix: string,
): Readonly<Record<string, string>> {
  // Almost no request has any: the names are looked at before Node makes its second map of headers.
  const names = Object.keys(request.headers).filter((name) => name.startsWith(prefix));
  if (names.length === 0) return {};
  if (names.length > MAX_ENTRIES) {
    throw tooLarge(`more than ${MAX_ENTRIES} ${prefix}* headers`);
  }
  const metadata: Record<string, string> = {};
  let bytes = 0;
  for (const name of names) {
    const [value = ''] = request.headersDistinct[name] ?? [];
    metadata[name] = value;
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  if (bytes > MAX_BYTES) throw tooLarge(`${prefix}* headers of more than ${MAX_BYTES} bytes`);
  return metadata;
}

function tooLarge(what: string): DynamoError {
  return new DynamoError('request.headers_too_large', `The request has ${what}.`);
}
