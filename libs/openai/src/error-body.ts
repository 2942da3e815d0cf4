/**
 * What a client is told about an error: `{"error":{"message","type","param","code"}}` with the status of RF 3.10.
 *
 * Bodies of 5xx statuses carry fixed sentences, unless the error says that its text is for the client; the real text is
 * for the log.
 */
import { toDynamoError } from '@dynamo-ts/base';
import type { DynamoError, ErrorCode, ErrorDetails } from '@dynamo-ts/base';

/** OpenAI's error body; `details` holds numbers a program may want, such as `limit` and `actual`. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
    readonly details?: ErrorDetails;
  };
}

/** An error as HTTP answers it. */
export interface PublicError {
  readonly status: number;
  readonly body: ErrorBody;
  /** Value of the Retry-After header, for 503 and for overload. */
  readonly retryAfterSeconds?: number;
}

/** What a service may choose. */
export interface PublicErrorOptions {
  /** Status of overload (`DYN_HTTP_OVERLOAD_STATUS_CODE`). @default 529 */
  readonly overloadStatus?: number | undefined;
}

const OVERLOAD_STATUS = 529;
const RETRY_AFTER_SECONDS = 1;

/** Codes that OpenAI's clients already know. */
const OPENAI_CODES: Partial<Record<ErrorCode, string>> = {
  'request.model_not_found': 'model_not_found',
  'request.context_length': 'context_length_exceeded',
};

const TYPES: Readonly<Record<number, string>> = {
  404: 'not_found_error',
  499: 'request_cancelled',
  500: 'server_error',
  501: 'not_implemented_error',
  503: 'service_unavailable_error',
  504: 'timeout_error',
  [OVERLOAD_STATUS]: 'overloaded_error',
};

const FIXED_MESSAGES: Readonly<Record<number, string>> = {
  500: 'Internal server error',
  503: 'Service temporarily unavailable',
  504: 'The model did not answer in time',
  [OVERLOAD_STATUS]: 'Service temporarily overloaded',
};

/** The answer to an error of any kind. */
export function toPublicError(error: unknown, options: PublicErrorOptions = {}): PublicError {
  const known = toDynamoError(error);
  const passed = known.code === 'backend.error' ? tryClientError(known.message) : undefined;
  if (passed !== undefined) return passed;
  const { http } = known.info;
  const status = http === OVERLOAD_STATUS ? (options.overloadStatus ?? http) : http;
  return {
    status,
    body: bodyOf(known, http),
    ...(http === 503 || http === OVERLOAD_STATUS
      ? { retryAfterSeconds: retryAfter(known.details?.['retry_after_seconds']) }
      : {}),
  };
}

/** Whoever refused may know better when there is room. */
function retryAfter(seconds: unknown): number {
  return typeof seconds === 'number' && seconds >= RETRY_AFTER_SECONDS
    ? Math.ceil(seconds)
    : RETRY_AFTER_SECONDS;
}

function bodyOf(error: DynamoError, status: number): ErrorBody {
  const { param, ...details } = error.details ?? {};
  const isPublic = status < 500 || status === 501;
  const isTold = isPublic || details['public_message'] === true;
  return {
    error: {
      message: (isTold ? undefined : FIXED_MESSAGES[status]) ?? error.message,
      type: TYPES[status] ?? 'invalid_request_error',
      param: typeof param === 'string' && param !== '' ? param : null,
      code: OPENAI_CODES[error.code] ?? error.code,
      ...(isPublic && Object.keys(details).length > 0 ? { details } : {}),
    },
  };
}

/** An engine's own 4xx, given as JSON `{"message", "code"}`, is the client's to know. */
function tryClientError(text: string): PublicError | undefined {
  const verdict = tryVerdict(text);
  if (verdict === undefined) return undefined;
  const { message, code: status } = verdict;
  const type = TYPES[status] ?? 'invalid_request_error';
  return { status, body: { error: { message, type, param: null, code: 'backend.error' } } };
}

function tryVerdict(text: string): { message: string; code: number } | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return undefined;
    if (!('message' in value) || !('code' in value)) return undefined;
    const { message, code } = value;
    if (typeof message !== 'string' || typeof code !== 'number') return undefined;
    return code >= 400 && code < 500 ? { message, code } : undefined;
  } catch {
    return undefined;
  }
}
