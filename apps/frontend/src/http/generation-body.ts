/**
 * Reads the body of a generating endpoint. Up to 1 MiB is parsed here (half a millisecond for 335 KiB; another thread
 * costs more); a larger one is looked at natively and JavaScript sees its small fields only.
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';

import { toDynamoError } from '@dynamo-ts/base';
import { parseJsonBody, parseJsonText } from '@dynamo-ts/openai';
import { inspectBody } from '@dynamo-ts/preprocess';

import { readBody, requireJson } from './body-reader.ts';

/** Largest body that is parsed on the event loop. */
const PARSE_HERE_BYTES = 1024 * 1024;

/** A body that is JSON. */
export interface GenerationBody {
  /** What is validated; texts of a large body are placeholders. */
  readonly fields: unknown;
  /** JSON for the native side. */
  readonly bytes: Uint8Array;
  /** The parsed body; undefined for a large one. */
  readonly value: unknown;
}

/**
 * Reads and parses the body.
 *
 * @throws `request.unsupported_media`, `request.payload_too_large`, `request.invalid`
 */
export async function readGenerationBody(
  request: IncomingMessage,
  limitBytes: number,
): Promise<GenerationBody> {
  requireJson(request);
  const received = await readBody(request, limitBytes);
  if (received.byteLength <= PARSE_HERE_BYTES) {
    const { value, bytes } = parseJsonBody(received);
    return { fields: value, bytes, value };
  }
  const bytes = isUtf8(received) ? received : Buffer.from(Buffer.from(received).toString('utf8'));
  try {
    const { fieldsJson } = await inspectBody(bytes);
    return { fields: parseJsonText(fieldsJson), bytes, value: undefined };
  } catch (error) {
    throw toDynamoError(error, 'request.invalid');
  }
}
