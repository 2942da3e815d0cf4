/**
 * Errors of the operating system, such as a full disk: where the call was made is of no interest to whoever reads them,
 * what failed and what to do is.
 */

/** What Node throws when a system call fails. */
export interface SystemError extends Error {
  readonly code: string;
  readonly syscall: string;
}

const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: 'free space on that disk, or name another place',
  EDQUOT: "free space within the user's quota, or name another place",
  EROFS: 'name a place that can be written',
  EACCES: 'let this user do it, or name another place',
  EPERM: 'let this user do it, or name another place',
  EMFILE: 'raise the limit of open files of this process (ulimit -n)',
  EADDRNOTAVAIL: 'name an address of this machine',
  ENOTFOUND: 'name an address of this machine, or a name that can be resolved',
  ENFILE: 'raise the limit of open files of this machine (fs.file-max)',
};

const PORT_ADVICE = 'choose a port from 1024 on, or let this user have lower ones';

/** Whether the operating system refused a call. */
export function isSystemError(error: unknown): error is SystemError {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    'syscall' in error &&
    typeof error.syscall === 'string'
  );
}

/** Why something failed, for the end of a message about it. */
export function failureReason(cause: unknown): string {
  if (isSystemError(cause)) return systemErrorText(cause);
  return cause instanceof Error ? cause.message : String(cause);
}

/** What failed and, for what a user can mend, what to do: `ENOSPC: no space left on device, write; free space …`. */
export function systemErrorText(error: SystemError): string {
  const isPort = error.code === 'EACCES' && error.syscall === 'listen';
  const advice = isPort ? PORT_ADVICE : ADVICE[error.code];
  return advice === undefined ? error.message : `${error.message}; ${advice}`;
}
