export type { AbortOptions, AbortReason } from './abort.ts';
export {
  AbortReasonError,
  abortError,
  abortReasonOf,
  isAbortReason,
  deadlineSignal,
  onAbort,
  raceAbort,
  throwIfAborted,
} from './abort.ts';
export type { BackoffOptions } from './backoff.ts';
export { Backoff } from './backoff.ts';
export type { BoundedQueueOptions, OverflowPolicy } from './bounded-queue.ts';
export { BoundedQueue } from './bounded-queue.ts';
export type { Clock } from './clock.ts';
export { systemClock } from './clock.ts';
export type { DynamoErrorOptions, ErrorDetails } from './dynamo-error.ts';
export { DynamoError, PUBLIC_MESSAGE, hasCode, toDynamoError } from './dynamo-error.ts';
export type { ErrorCode, ErrorCodeInfo, GrpcStatusName } from './error-codes.ts';
export { ERROR_CODES, isErrorCode } from './error-codes.ts';
export type { InstanceId, RandomBytes, RequestId } from './ids.ts';
export {
  asInstanceId,
  asRequestId,
  createInstanceId,
  createRequestId,
  instanceIdHex,
  tryInstanceId,
} from './ids.ts';
export type { LifecycleOptions, ShutdownPhase, ShutdownStep } from './lifecycle.ts';
export { Lifecycle, SHUTDOWN_PHASES } from './lifecycle.ts';
export { editDistance } from './edit-distance.ts';
export { suggestion } from './suggestion.ts';
export type { SystemError } from './system-error.ts';
export { failureReason, isSystemError, systemErrorText } from './system-error.ts';
export type { TaskGroupOptions } from './task-group.ts';
export { TaskGroup } from './task-group.ts';
