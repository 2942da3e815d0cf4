import { toDynamoError } from '@dynamo-ts/base';

/** Calls the addon; what it throws carries a registered code and becomes a `DynamoError`. */
export function nativeCall<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw toDynamoError(error);
  }
}

/** {@link nativeCall} for work off the event loop. */
export async function nativeWork<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw toDynamoError(error);
  }
}
