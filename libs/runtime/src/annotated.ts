/**
 * The envelope of one response item on typed endpoints (the reference's `Annotated`): data, or an event with comments,
 * or an error.
 */
import { DynamoError } from '@dynamo-ts/base';

/** One response item with what surrounds it. */
export interface Annotated<T> {
  readonly data?: T | undefined;
  readonly id?: string | undefined;
  readonly event?: string | undefined;
  readonly comment?: readonly string[] | undefined;
  readonly error?: string | undefined;
}

/** Key that marks a yielded object as an envelope instead of data. */
export const ANNOTATED_MARK = '_dynamo_annotated';

/** Marks an envelope for yielding from a handler. */
export function annotated<T>(
  envelope: Annotated<T>,
): Annotated<T> & { readonly [ANNOTATED_MARK]: true } {
  return { ...envelope, [ANNOTATED_MARK]: true };
}

/** The envelope of what a handler yielded: itself when it is marked as one, else a new one around the data. */
export function toEnvelope(item: unknown): Annotated<unknown> {
  if (typeof item === 'object' && item !== null && Reflect.get(item, ANNOTATED_MARK) === true) {
    const envelope: Record<string, unknown> = { ...item };
    Reflect.deleteProperty(envelope, ANNOTATED_MARK);
    return envelope;
  }
  return { data: item };
}

/** The error that an envelope carries, if any. */
export function envelopeError(envelope: Annotated<unknown>): DynamoError | undefined {
  if (envelope.error === undefined && envelope.event !== 'error') return undefined;
  const message =
    envelope.error ?? envelope.comment?.join('; ') ?? 'the handler sent an error item';
  return new DynamoError('backend.error', message);
}
