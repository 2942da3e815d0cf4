/** What a request says about its place (RP 4.5 to 4.13): headers first, then `nvext`. */
import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { Nvext, OpenAiRequest, RouterConfigOverrideFields } from '@dynamo-ts/openai';
import type { PlacementWishes, RouterConfigOverride } from '@dynamo-ts/routing';

import type { RoutingHeaders } from '../http/request-headers.ts';

/** The worker that the client wants; undefined leaves the choice to the router. */
export function pinnedWorker(
  { nvext }: OpenAiRequest,
  headers: RoutingHeaders,
): InstanceId | undefined {
  // Aggregated workers decode, so a wish for the decode worker is a wish for them.
  const id = headers.backendInstanceId ?? nvext?.backend_instance_id ?? nvext?.decode_worker_id;
  return id === undefined ? undefined : asInstanceId(id);
}

/** Everything else that concerns the placement. */
export function placementWishes(request: OpenAiRequest, headers: RoutingHeaders): PlacementWishes {
  const { nvext = {}, router_config_override: overrides } = request;
  const { agent_hints: hints = {} } = nvext;
  return {
    pinnedRank: headers.dpRank ?? nvext.dp_rank,
    overrides: overrides && overrideOf(overrides),
    priorityJump: priorityJumpOf(hints, headers),
    strictPriority: headers.strictPriority ?? hints.strict_priority,
    expectedOutputTokens: hints.osl,
    sessionId: headers.sessionId ?? sessionOf(nvext),
    policyClass: headers.policyClass,
    ...taintsOf(nvext),
  };
}

/** A negative priority is the engine's business and moves nothing back here. */
function priorityJumpOf(
  hints: NonNullable<Nvext['agent_hints']>,
  { priority }: RoutingHeaders,
): number {
  return Math.max(0, priority ?? hints.priority ?? hints.latency_sensitivity ?? 0);
}

function sessionOf({
  agent_context: context,
  session_control: control,
}: Nvext): string | undefined {
  return context?.session_id ?? control?.session_id;
}

function taintsOf({
  routing_constraints: constraints,
}: Nvext): Pick<PlacementWishes, 'requiredTaints' | 'preferredTaints'> {
  const preferred = constraints?.preferred_taints;
  return {
    requiredTaints: constraints?.required_taints,
    preferredTaints:
      preferred && Object.entries(preferred).map(([taint, weight]) => ({ taint, weight })),
  };
}

function overrideOf(fields: RouterConfigOverrideFields): RouterConfigOverride {
  return {
    overlapScoreCredit: fields.overlap_score_credit,
    prefillLoadScale: fields.prefill_load_scale,
    overlapScoreWeight: fields.overlap_score_weight,
    routerTemperature: fields.router_temperature,
    assumeKvReuse: fields.assume_kv_reuse,
    trackPrefillTokens: fields.track_prefill_tokens,
    displacementWeight: fields.displacement_weight,
  };
}
