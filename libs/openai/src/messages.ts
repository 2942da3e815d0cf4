/** Chat messages and tools: their form only; their meaning is the chat template's. */
import { z } from 'zod';

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function'] as const;
const TEXT_PARTS = new Set(['text', 'input_text', 'refusal']);
const MAX_TOOLS = 1536;
const MAX_FUNCTION_NAME = 96;

const contentPart = z.looseObject({ type: z.string() }).superRefine((part, context) => {
  if (!TEXT_PARTS.has(part.type)) {
    context.addIssue(`content part "${part.type}" is not supported; send text`);
  } else if (part.type !== 'refusal' && typeof part['text'] !== 'string') {
    context.addIssue('a text part needs a string "text"');
  }
});

const content = z.union([z.string(), z.array(contentPart)], {
  error: (issue) => firstInnerMessage(issue) ?? 'expected a string or an array of content parts',
});

const toolCall = z.looseObject({
  function: z.looseObject({ name: z.string().min(1), arguments: z.unknown() }).optional(),
});

const ROLE_SET: ReadonlySet<unknown> = new Set(ROLES);
/** More than fits in any context, so that a list of tiny messages cannot keep the service from others. */
const MAX_MESSAGES = 32_768;

const messageShape = {
  role: z.enum(ROLES, { error: `expected one of ${ROLES.join(', ')}` }),
  content: content.nullish(),
  tool_calls: z.array(toolCall).nullish(),
  name: z.string().nullish(),
  tool_call_id: z.string().nullish(),
};

const message = z.looseObject(messageShape).superRefine((value, context) => {
  if (value.role === 'assistant' || value.role === 'function') return;
  if (value.content === undefined || value.content === null) {
    context.addIssue({ code: 'custom', path: ['content'], message: 'content is required' });
  }
});

/** A message of the conversation. */
type Message = z.output<typeof message>;

/** The conversation. A plain message, as nearly all are, costs no schema: thousands of those would take milliseconds. */
export const messagesSchema = z
  .custom<readonly Message[]>((value) => Array.isArray(value), 'expected an array of messages')
  .superRefine((messages, context) => {
    if (messages.length === 0) context.addIssue('at least one message is required');
    if (messages.length > MAX_MESSAGES) {
      context.addIssue(`at most ${MAX_MESSAGES} messages are allowed, got ${messages.length}`);
      return;
    }
    for (const [index, value] of messages.entries()) {
      if (isPlain(value)) continue;
      const [issue] = message.safeParse(value).error?.issues ?? [];
      if (issue === undefined) continue;
      context.addIssue({ code: 'custom', path: [index, ...issue.path], message: issue.message });
      return;
    }
  });

/** A role and a text, and nothing else that is checked. */
function isPlain(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    'role' in value &&
    ROLE_SET.has(value.role) &&
    'content' in value &&
    typeof value.content === 'string' &&
    !('tool_calls' in value || 'name' in value || 'tool_call_id' in value)
  );
}

/** Functions that the model may call. */
export const toolsSchema = z
  .array(
    z.looseObject({
      type: z.string().nullish(),
      function: z.looseObject({
        name: z
          .string()
          .min(1, 'a function needs a name')
          .max(MAX_FUNCTION_NAME, `a function name has at most ${MAX_FUNCTION_NAME} characters`),
        parameters: z.unknown().optional(),
      }),
    }),
  )
  .max(MAX_TOOLS, `at most ${MAX_TOOLS} tools are allowed`);

/** `none`, `auto`, `required`, or one named function. */
export const toolChoiceSchema = z.union([
  z.enum(['none', 'auto', 'required']),
  z.looseObject({ type: z.string(), function: z.looseObject({ name: z.string().min(1) }) }),
]);

/** The most telling problem inside a failed union: that of the alternative that got furthest. */
function firstInnerMessage(issue: { readonly errors?: unknown }): string | undefined {
  if (!Array.isArray(issue.errors)) return undefined;
  for (const alternative of issue.errors as readonly (readonly {
    path: unknown[];
    message: string;
  }[])[]) {
    const inner = alternative.find(({ path }) => path.length > 0);
    if (inner !== undefined) return inner.message;
  }
  return undefined;
}
