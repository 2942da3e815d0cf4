/**
 * What a service tells the launcher that started it over an IPC channel: that it is up, or why it cannot be. An exit code
 * alone does not say whether it is of any use to start the service again.
 */
import { DynamoError, isErrorCode } from '@dynamo-ts/base';

/** One message of a service. */
export type ServiceMessage =
  { readonly kind: 'started' } | { readonly kind: 'start-failed'; readonly error: DynamoError };

const STARTED = 'dynamo:started';
const START_FAILED = 'dynamo:start-failed';

/** Tells the launcher; nothing without one. */
export function tellLauncher(message: ServiceMessage): void {
  if (!process.connected) return;
  const { kind } = message;
  process.send?.(
    kind === 'started'
      ? { type: STARTED }
      : { type: START_FAILED, code: message.error.code, message: message.error.message },
  );
}

/** Reads what a service sent; undefined for anything else. */
export function tryServiceMessage(sent: unknown): ServiceMessage | undefined {
  if (typeof sent !== 'object' || sent === null || !('type' in sent)) return undefined;
  if (sent.type === STARTED) return { kind: 'started' };
  if (sent.type !== START_FAILED || !('code' in sent) || !('message' in sent)) return undefined;
  const { code, message } = sent;
  if (typeof code !== 'string' || !isErrorCode(code)) return undefined;
  return { kind: 'start-failed', error: new DynamoError(code, String(message)) };
}
