/** Names that requests bring from clients and that frontend and router both read (RP 4.8, 4.9). */

/** Header with the session that a request belongs to. */
export const SESSION_HEADER = 'x-dynamo-session-id';
/** Header with the queue class of a request, or its family. */
export const POLICY_CLASS_HEADER = 'x-dynamo-meta-policy-class';

const QUERY_ANNOTATION = 'query_instance_id';

/**
 * Whether a request wants to know where it would go, and not to run; `query_instance_id:decode` and the like ask for a stage
 * of it.
 */
export function wantsPlaceOnly(annotations: readonly string[]): boolean {
  return annotations.some((name) => name.split(':', 1)[0] === QUERY_ANNOTATION);
}
