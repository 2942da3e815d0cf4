/**
 * The registry of every error code: what it means and what each layer does with it.
 *
 * Codes follow the reference's typed reasons (`request.*`, `transport.*`, `backend.*`, `capacity.*`) so that an operator
 * who knows Dynamo reads ours. `docs/ERRORS.md` is generated from this table and a test keeps both complete.
 */

/** Name of an error code. */
export type ErrorCode =
  | 'request.invalid'
  | 'request.context_length'
  | 'request.not_found'
  | 'request.method_not_allowed'
  | 'request.model_not_found'
  | 'request.conflict'
  | 'request.payload_too_large'
  | 'request.unsupported_media'
  | 'request.headers_too_large'
  | 'request.cancelled'
  | 'request.deadline_exceeded'
  | 'runtime.not_implemented'
  | 'runtime.internal'
  | 'runtime.closed'
  | 'runtime.poisoned'
  | 'config.invalid'
  | 'config.port_in_use'
  | 'model.invalid'
  | 'model.checksum_mismatch'
  | 'transport.cannot_connect'
  | 'transport.disconnected'
  | 'transport.timeout'
  | 'transport.protocol'
  | 'discovery.unavailable'
  | 'backend.unavailable'
  | 'backend.engine_shutdown'
  | 'backend.stream_incomplete'
  | 'backend.response_timeout'
  | 'backend.request_stuck'
  | 'backend.error'
  | 'capacity.frontend_limit'
  | 'capacity.worker_overloaded'
  | 'capacity.pool_exhausted'
  | 'capacity.queue_full'
  | 'capacity.queue_timeout';

/** Canonical gRPC status names (grpc/grpc `doc/statuscodes.md`). */
export type GrpcStatusName =
  | 'CANCELLED'
  | 'UNKNOWN'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE';

/** What the system knows about one error code. */
export interface ErrorCodeInfo {
  /** HTTP status that the frontend answers with. */
  readonly http: number;
  /** gRPC status that gRPC services answer with. */
  readonly grpc: GrpcStatusName;
  /** The same request may succeed on another instance or a little later. */
  readonly retryable: boolean;
  /** The instance that produced it is suspect and is kept out of selection for a while (RF 1.10). */
  readonly inhibits: boolean;
  /** One sentence: what happened, and what a reader can do. */
  readonly meaning: string;
}

const client = (http: number, grpc: GrpcStatusName, meaning: string): ErrorCodeInfo => ({
  http,
  grpc,
  retryable: false,
  inhibits: false,
  meaning,
});

const transient = (
  http: number,
  grpc: GrpcStatusName,
  inhibits: boolean,
  meaning: string,
): ErrorCodeInfo => ({ http, grpc, retryable: true, inhibits, meaning });

/** Every error code, keyed by its name. */
export const ERROR_CODES: Readonly<Record<ErrorCode, ErrorCodeInfo>> = {
  'request.invalid': client(
    400,
    'INVALID_ARGUMENT',
    'The request body is not what the endpoint accepts; the message names the field.',
  ),
  'request.context_length': client(
    400,
    'INVALID_ARGUMENT',
    'The prompt leaves no room for an answer within the context length of the model; both numbers are in the details. A max_tokens beyond that room is lowered to it.',
  ),
  'request.not_found': client(404, 'NOT_FOUND', 'The path or resource does not exist.'),
  'request.method_not_allowed': client(
    405,
    'UNIMPLEMENTED',
    'The path exists but not with this method; the Allow header names those that it has.',
  ),
  'request.model_not_found': client(
    404,
    'NOT_FOUND',
    'No worker ever registered this model name; GET /v1/models lists those that are served.',
  ),
  'request.conflict': client(409, 'ALREADY_EXISTS', 'Something of this name exists already.'),
  'request.payload_too_large': client(
    413,
    'RESOURCE_EXHAUSTED',
    'The body is larger than the configured limit (DYN_HTTP_BODY_LIMIT_MB).',
  ),
  'request.unsupported_media': client(
    415,
    'INVALID_ARGUMENT',
    'The Content-Type is not JSON; send application/json.',
  ),
  'request.headers_too_large': client(
    431,
    'INVALID_ARGUMENT',
    'Request metadata headers exceed 64 entries or 64 KiB.',
  ),
  'request.cancelled': client(
    499,
    'CANCELLED',
    'The caller left or cancelled before the answer was complete.',
  ),
  'request.deadline_exceeded': client(
    504,
    'DEADLINE_EXCEEDED',
    'The deadline of the request passed before the answer was complete.',
  ),
  'runtime.not_implemented': client(
    501,
    'UNIMPLEMENTED',
    'A known feature that this service does not offer; the message names it.',
  ),
  'runtime.internal': client(
    500,
    'INTERNAL',
    'A defect in this service; the log of the request id holds the cause.',
  ),
  'runtime.closed': transient(
    503,
    'UNAVAILABLE',
    false,
    'The handle or service is shutting down and takes no new work.',
  ),
  'runtime.poisoned': client(
    500,
    'INTERNAL',
    'A native handle panicked earlier and refuses further use; restart the process.',
  ),
  'config.invalid': client(
    500,
    'FAILED_PRECONDITION',
    'A configuration value is unknown or invalid; the message names where it came from.',
  ),
  'config.port_in_use': client(
    500,
    'FAILED_PRECONDITION',
    'The address to listen on is taken; stop the other process or choose another port.',
  ),
  'model.invalid': client(
    500,
    'FAILED_PRECONDITION',
    'Model files are missing or cannot be read; the message names the file.',
  ),
  'model.checksum_mismatch': transient(
    503,
    'UNAVAILABLE',
    false,
    'A model file fetched from a worker differs from its published checksum; it is fetched again.',
  ),
  'transport.cannot_connect': transient(
    503,
    'UNAVAILABLE',
    true,
    'The instance refused the connection or cannot be reached.',
  ),
  'transport.disconnected': transient(
    503,
    'UNAVAILABLE',
    true,
    'The connection ended before the response was complete; the request can move to another instance.',
  ),
  'transport.timeout': transient(
    503,
    'UNAVAILABLE',
    true,
    'The instance did not accept the request in time.',
  ),
  'transport.protocol': client(
    500,
    'INTERNAL',
    'The peer sent a frame that breaks the protocol; versions may differ.',
  ),
  'discovery.unavailable': transient(
    503,
    'UNAVAILABLE',
    false,
    'The discovery store cannot be reached; it is tried again with back-off.',
  ),
  'backend.unavailable': transient(
    503,
    'UNAVAILABLE',
    false,
    'No instance serves this endpoint right now; retry after the Retry-After delay.',
  ),
  'backend.engine_shutdown': transient(
    503,
    'UNAVAILABLE',
    true,
    'The engine is stopping or has died; the request can move to another instance.',
  ),
  'backend.stream_incomplete': transient(
    503,
    'UNAVAILABLE',
    true,
    'The engine ended its stream without a finish reason.',
  ),
  'backend.response_timeout': transient(
    504,
    'DEADLINE_EXCEEDED',
    true,
    'The instance sent nothing for longer than the inactivity limit.',
  ),
  'backend.request_stuck': transient(
    504,
    'DEADLINE_EXCEEDED',
    false,
    'The engine gave this request no token for too long while it served others; it can move to another instance.',
  ),
  'backend.error': client(
    500,
    'INTERNAL',
    'The engine reported a failure for this request; its text is in the log.',
  ),
  'capacity.frontend_limit': transient(
    503,
    'RESOURCE_EXHAUSTED',
    false,
    'The frontend has as much to do as it may have (--rejection-frontend-…-limit); retry after the Retry-After delay.',
  ),
  'capacity.worker_overloaded': transient(
    529,
    'RESOURCE_EXHAUSTED',
    false,
    'The chosen instance is at capacity; another one is tried.',
  ),
  'capacity.pool_exhausted': transient(
    529,
    'RESOURCE_EXHAUSTED',
    false,
    'Every instance is at capacity; retry after the Retry-After delay.',
  ),
  'capacity.queue_full': transient(
    529,
    'RESOURCE_EXHAUSTED',
    false,
    'A bounded queue is full; retry after the Retry-After delay.',
  ),
  'capacity.queue_timeout': transient(
    529,
    'RESOURCE_EXHAUSTED',
    false,
    "No instance had room within the longest wait in the router's queue (DYN_ROUTER_QUEUE_TIMEOUT_SECS); retry after the Retry-After delay.",
  ),
};

/** Whether a string (for example from the wire) is a known error code. */
export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(ERROR_CODES, value);
}
