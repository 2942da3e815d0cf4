import type { EngineRequest } from '@dynamo-ts/models';

/** The fields of a client's request that this engine reads. */
interface Body {
  readonly prompt?: string;
  readonly messages?: readonly { readonly content?: unknown }[];
}

/** The prompt of a completion, or the text of the last message of a chat. */
export function promptOf({ textInput }: EngineRequest): string {
  // The frontend has validated the body.
  const body = JSON.parse(Buffer.from(textInput?.bodyJson ?? '{}').toString()) as Body;
  const content = body.messages?.at(-1)?.content;
  return body.prompt ?? (typeof content === 'string' ? content : '');
}
