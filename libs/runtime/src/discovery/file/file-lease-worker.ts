/**
 * Worker thread that owns this process's record files: it writes them, renews their modification time, and removes
 * them. It is a thread so that a busy event loop keeps its records alive, and it alone touches the files, so that a
 * renewal can never bring back a file that is being removed.
 *
 * A file that someone else took away (an observer that woke from suspend) is written again at the next renewal.
 */
import { mkdirSync, renameSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';

import type {
  FileLeaseReply,
  FileLeaseRequest,
  FileLeaseWorkerData,
} from './file-lease-messages.ts';

type PutRequest = Extract<FileLeaseRequest, { kind: 'put' }>;

interface OwnedFile {
  readonly put: PutRequest;
  readonly inode: bigint;
}

const owned = new Map<string, OwnedFile>();
// The parent passes exactly this, see FileLease.
const { heartbeatMs } = workerData as FileLeaseWorkerData;
const timer = setInterval(renewAll, heartbeatMs);

parentPort?.on('message', (request: FileLeaseRequest) => {
  const errorCode = attempt(() => {
    handle(request);
  });
  const reply: FileLeaseReply =
    errorCode === undefined ? { id: request.id } : { id: request.id, errorCode };
  parentPort?.postMessage(reply);
});

function handle(request: FileLeaseRequest): void {
  switch (request.kind) {
    case 'put':
      write(request);
      break;
    case 'remove':
      remove(request.path);
      break;
    case 'close':
      for (const path of [...owned.keys()])
        attempt(() => {
          remove(path);
        });
      clearInterval(timer);
      break;
  }
}

function write(put: PutRequest): void {
  mkdirSync(dirname(put.path), { recursive: true });
  writeFileSync(put.temporaryPath, put.value);
  renameSync(put.temporaryPath, put.path);
  owned.set(put.path, { put, inode: inodeOf(put.path) });
}

/** Removes a file if it is still the one this process wrote. */
function remove(path: string): void {
  const file = owned.get(path);
  owned.delete(path);
  if (file?.inode === inodeOf(path)) unlinkSync(path);
}

function renewAll(): void {
  for (const [path, file] of owned) {
    const errorCode = attempt(() => {
      if (inodeOf(path) !== file.inode) return;
      const now = new Date();
      utimesSync(path, now, now);
    });
    // Whatever else is wrong with the store is tried again at the next renewal.
    if (errorCode === 'ENOENT')
      attempt(() => {
        write(file.put);
      });
  }
}

function inodeOf(path: string): bigint {
  return statSync(path, { bigint: true }).ino;
}

/** Runs `run`; its error's code when it throws. */
function attempt(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}
