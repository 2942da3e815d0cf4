/** The extension object `nvext` (RF 3.7). Unknown keys inside it are refused. */
import { tryInstanceId } from '@dynamo-ts/base';
import { z } from 'zod';

import { routerConfigOverrideSchema, routingConstraintsSchema } from './routing-fields.ts';
import { sparseObject } from './sparse-object.ts';
import { tokenIdsSchema } from './token-id.ts';

/** Session ids are keys of the router's table. */
const MAX_SESSION_ID_LENGTH = 256;

const u32 = z.number().int().min(0).max(0xffff_ffff);

/** u64 ids come as numbers, or as decimal strings when a number cannot hold them. */
const instanceId = z.union([z.number().int().min(0), z.string()]).transform((value, context) => {
  const id = tryInstanceId(String(value));
  if (id === undefined) {
    context.addIssue('expected an unsigned 64-bit integer');
    return z.NEVER;
  }
  return id;
});

const agentHints = sparseObject({
  priority: z.number().int().min(-0x8000_0000).max(0x7fff_ffff).optional(),
  strict_priority: u32.optional(),
  osl: u32.optional(),
  speculative_prefill: z.boolean().optional(),
  latency_sensitivity: z.number().optional(),
});

const sessionId = z.string().min(1).max(MAX_SESSION_ID_LENGTH);

const agentContext = sparseObject({
  session_type_id: z.string().optional(),
  session_id: sessionId.optional(),
  trajectory_id: z.string().optional(),
  parent_trajectory_id: z.string().optional(),
  trajectory_final: z.boolean().optional(),
});

const sessionControl = sparseObject({
  session_id: sessionId,
  action: z.enum(['bind', 'open', 'close']).optional(),
  timeout: z.number().min(0).optional(),
});

/** Schema of `nvext`. */
export const nvextSchema = sparseObject({
  greed_sampling: z.boolean().optional(),
  use_raw_prompt: z.boolean().optional(),
  annotations: z.array(z.string()).optional(),
  backend_instance_id: instanceId.optional(),
  prefill_worker_id: instanceId.optional(),
  decode_worker_id: instanceId.optional(),
  dp_rank: u32.optional(),
  prefill_dp_rank: u32.optional(),
  token_data: tokenIdsSchema.optional(),
  max_thinking_tokens: u32.optional(),
  cache_salt: z.string().optional(),
  cache_namespace: z.string().optional(),
  extra_fields: z.array(z.string()).optional(),
  metadata_upload: sparseObject({ url: z.string() }).optional(),
  agent_hints: agentHints.optional(),
  request_timestamp_ms: z.number().optional(),
  routing_constraints: routingConstraintsSchema.optional(),
  router_config_override: routerConfigOverrideSchema.optional(),
  router: z.unknown().optional(),
  agent_context: agentContext.optional(),
  session_control: sessionControl.optional(),
  // Deprecated here: the same fields at the top level win.
  ignore_eos: z.boolean().optional(),
  top_k: z.number().int().min(-1).max(0x7fff_ffff).optional(),
  repetition_penalty: z.number().gt(0).max(2).optional(),
  guided_json: z.unknown().optional(),
  guided_regex: z.string().optional(),
  guided_grammar: z.string().optional(),
  guided_choice: z.array(z.string()).optional(),
  guided_decoding_backend: z.string().optional(),
});

/** `nvext` after validation. */
export type Nvext = z.output<typeof nvextSchema>;

/** Part of `nvext` that moves to the top level unless it is set there. */
export const NVEXT_COMMON_FIELDS = [
  'ignore_eos',
  'top_k',
  'repetition_penalty',
  'guided_json',
  'guided_regex',
  'guided_grammar',
  'guided_choice',
  'guided_decoding_backend',
  'cache_salt',
  'router_config_override',
] as const;
