/**
 * The files of decision logs that somebody names: a file with its full ones before it (`FILE.3`, `FILE.2`, `FILE.1`,
 * `FILE`), or every log of a folder.
 */
import { existsSync } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { DynamoError } from '@dynamo-ts/base';

/** What every line of a log begins with, and so what a file of a folder is recognised by. */
const MARK = '"decision_id"';
const MARK_WITHIN_BYTES = 64 * 1024;

/** The files, each once, those of a log oldest first. @throws config.invalid for what is not there, and for a folder without a log */
export async function decisionFiles(paths: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(
    paths.map(async (path) => ((await isFolder(path)) ? filesIn(path) : filesOf(path))),
  );
  return [...new Set(found.flat())];
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    throw unreadable(cause);
  }
}

function filesOf(path: string): readonly string[] {
  const files = [path];
  for (let number = 1; existsSync(`${path}.${number}`); number++)
    files.unshift(`${path}.${number}`);
  return files;
}

async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map(({ name }) => join(folder, name))
    .sort();
  const isLog = await Promise.all(paths.map(hasMark));
  const logs = paths.filter((_, index) => isLog[index]);
  if (logs.length === 0) throw invalid(`the folder ${folder} holds no decision log`);
  return logs.flatMap(filesOf);
}

async function hasMark(path: string): Promise<boolean> {
  try {
    await using file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(MARK_WITHIN_BYTES) });
    return buffer.subarray(0, bytesRead).includes(MARK);
  } catch (cause) {
    throw unreadable(cause);
  }
}

/** The error for a log that cannot be read. */
export function unreadable(cause: unknown): DynamoError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return invalid(`cannot read the decision log: ${reason}`, cause);
}

function invalid(message: string, cause?: unknown): DynamoError {
  return new DynamoError('config.invalid', message, { cause });
}
