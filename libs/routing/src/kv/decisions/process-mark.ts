/**
 * Tells processes apart that share a folder, over restarts and over containers: a process id alone names another process
 * after a restart, and means nothing in another container.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** Names one run of one process. */
export interface ProcessMark {
  readonly host: string;
  /** Where its id means something: the container, on Linux. */
  readonly idSpace: string;
  readonly pid: number;
  /** When it began, by the kernel's count; empty where that cannot be read. */
  readonly began: string;
}

/** The mark of this process. */
export function ownMark(): ProcessMark {
  return { host: hostname(), idSpace: ownIdSpace(), pid: process.pid, began: beganOf(process.pid) };
}

/** Whether that run has ended; undefined when that cannot be seen from here. */
export function hasEnded(mark: ProcessMark): boolean | undefined {
  if (mark.host !== hostname() || mark.idSpace !== ownIdSpace()) return undefined;
  return !isAlive(mark.pid) || beganOf(mark.pid) !== mark.began;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // One that may not be signalled is there.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function ownIdSpace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

/** Field 22 of `/proc/PID/stat`; the second field, the name, may have blanks and ends with the last bracket. */
function beganOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
