import { ERROR_CODES, toDynamoError } from '@dynamo-ts/base';

/** An answer that is an error. */
export class HttpProblem extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'HttpProblem';
    this.status = status;
  }
}

/** What a failure is to a client. */
export function problemOf(error: unknown): HttpProblem {
  if (error instanceof HttpProblem) return error;
  const { code, message } = toDynamoError(error);
  return new HttpProblem(ERROR_CODES[code].http, message);
}
