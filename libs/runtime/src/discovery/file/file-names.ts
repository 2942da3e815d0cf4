/**
 * Where a record lives on disk (RF 1.3): its bucket, the first two segments of the key, is a directory; the rest of
 * the key, percent-encoded, is the file's name.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';

import { DynamoError } from '@dynamo-ts/base';
import { encodeSegment } from '@dynamo-ts/protocol';

/** Prefix of files that are being written. */
export const TEMPORARY_PREFIX = '.tmp_';

/** A key or key prefix, taken apart. */
export interface BucketPath {
  /** For example `v1/instances`. */
  readonly bucket: string;
  /** What follows, without the slash between. */
  readonly rest: string;
}

/** Takes a key or prefix apart. @throws `config.invalid` when it does not name a bucket */
export function splitKey(key: string): BucketPath {
  const [, bucket, rest] = /^([^/]+\/[^/]+)\/(.*)$/s.exec(key) ?? [];
  if (bucket === undefined || rest === undefined) {
    throw new DynamoError(
      'config.invalid',
      `"${key}" names no bucket of the file store; write version/bucket/…`,
    );
  }
  return { bucket, rest };
}

/** Directory of a bucket. */
export function bucketFolder(rootPath: string, bucket: string): string {
  return join(rootPath, ...bucket.split('/').map(encodeSegment));
}

/** File of a record. */
export function recordPath(rootPath: string, key: string): string {
  const { bucket, rest } = splitKey(key);
  return join(bucketFolder(rootPath, bucket), encodeSegment(rest));
}

/** The rest of a key from its file name; undefined for files that are not records. */
export function tryDecodeFileName(fileName: string): string | undefined {
  if (fileName.startsWith(TEMPORARY_PREFIX)) return undefined;
  try {
    return decodeURIComponent(fileName);
  } catch {
    return undefined;
  }
}

/** A fresh name for a file that is being written. */
export function temporaryName(): string {
  return TEMPORARY_PREFIX + randomBytes(8).toString('hex');
}
