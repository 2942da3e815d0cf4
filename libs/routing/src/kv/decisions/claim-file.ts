/**
 * `FILE.claim`: who writes a file of decisions. One that a process left behind is replaced in one step, and by one process
 * however many have seen that it is abandoned: they agree on who may by a file that is named after the claim's token.
 */
import { readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';

import { hasEnded } from './process-mark.ts';
import type { ProcessMark } from './process-mark.ts';

/** What is in a claim. */
export interface Claim extends ProcessMark {
  /** Unlike that of any other claim. */
  readonly token: string;
}

const ABANDONED_MS = 30_000;

/** Path of the claim to a file. */
export function claimOf(file: string): string {
  return `${file}.claim`;
}

/** Who claims a file; undefined when nobody does, or nobody can say. */
export function readClaim(file: string): Claim | undefined {
  try {
    return JSON.parse(readFileSync(claimOf(file), 'utf8')) as Claim; // written by this project alone
  } catch {
    return undefined;
  }
}

/** Says that the claim is alive. */
export function touch(file: string): void {
  const now = new Date();
  utimesSync(claimOf(file), now, now);
}

/** Token of the claim to a file when its process has ended or fallen silent; empty when it cannot be read. */
export function abandonedClaim(file: string): string | undefined {
  const claim = readClaim(file);
  const isAbandoned = claim !== undefined && hasEnded(claim) === true;
  return isAbandoned || isSilent(claimOf(file)) ? (claim?.token ?? '') : undefined;
}

/** Replaces an abandoned claim. @returns false when another process does, or has done so */
export function takeOver(file: string, abandonedToken: string, claim: Claim): boolean {
  const taking = `${claimOf(file)}.${abandonedToken}`;
  try {
    writeFileSync(taking, JSON.stringify(claim), { flag: 'wx' });
    // Nobody else replaces that claim while this file is there.
    if ((readClaim(file)?.token ?? '') === abandonedToken) {
      renameSync(taking, claimOf(file));
      return true;
    }
    rmSync(taking, { force: true });
  } catch (error) {
    if (!hasErrno(error, 'EEXIST', 'ENOENT')) throw error;
    // What a process left that ended between two lines of the above; whoever comes next can take over.
    if (isSilent(taking)) rmSync(taking, { force: true });
  }
  return false;
}

function isSilent(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found !== undefined && Date.now() - found.mtimeMs > ABANDONED_MS;
}

function hasErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
