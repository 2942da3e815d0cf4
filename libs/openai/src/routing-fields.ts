/** Fields by which a request says how it wants to be placed (RP 4.5, 4.12). Unknown keys are refused by name. */
import { z } from 'zod';

import { sparseObject } from './sparse-object.ts';

/** A weight of the cost: nothing is gained by numbers beyond this, and infinities would break the order of costs. */
const weight = z.number().min(0).max(1e6);

/** `router_config_override`: settings of the placement cost for one request. */
export const routerConfigOverrideSchema = sparseObject({
  overlap_score_credit: weight.optional(),
  prefill_load_scale: weight.optional(),
  overlap_score_weight: weight.optional(),
  router_temperature: weight.optional(),
  assume_kv_reuse: z.boolean().optional(),
  track_prefill_tokens: z.boolean().optional(),
  displacement_weight: weight.optional(),
  shared_cache_multiplier: z.never('shared caches are not supported').optional(),
});

/** `router_config_override` after validation. */
export type RouterConfigOverrideFields = z.output<typeof routerConfigOverrideSchema>;

/** Most taints of one request; each is compared with those of every worker. */
const MAX_TAINTS = 32;
const taint = z.string().min(1).max(256);

/** `nvext.routing_constraints`: which workers may, and which should, take the request. */
export const routingConstraintsSchema = sparseObject({
  required_taints: z.array(taint).max(MAX_TAINTS).optional(),
  preferred_taints: z
    .record(taint, z.number().min(-1e6).max(1e6))
    .refine((taints) => Object.keys(taints).length <= MAX_TAINTS, `at most ${MAX_TAINTS} taints`)
    .optional(),
});
