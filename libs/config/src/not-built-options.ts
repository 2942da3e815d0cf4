/**
 * Options of the reference's router for what is not built here (RP 4.12). Each is known by name, so that whoever comes with
 * a configuration of the reference is told why it cannot be had instead of being left with an unknown flag, or with an
 * environment variable that nobody reads.
 */
import { option } from './option.ts';
import type { Option } from './option.ts';
import { parseBoolean } from './option-value.ts';

/** Why something cannot be had. */
const WHY = {
  loadModels: 'load models of AIConfigurator are not supported',
  sharedCaches: 'shared caches are not supported',
  disaggregation: 'disaggregated prefill is not supported',
  jetStream: 'durable events need JetStream; routers restore from the workers instead',
} as const;

/** What is refused, in the order of RP 4.12. */
export const NOT_BUILT = {
  routerPrefillLoadModel: option.choice({
    flag: 'router-prefill-load-model',
    env: 'DYN_ROUTER_PREFILL_LOAD_MODEL',
    choices: ['none'],
    hints: { aic: WHY.loadModels },
    default: 'none',
    hidden: true,
    help: 'Only none: prompts count in full until their first token.',
  }),
  ...loadModelOptions(),
  routerEventThreads: eventThreads(),
  sharedCacheType: option.choice({
    flag: 'shared-cache-type',
    env: 'DYN_SHARED_CACHE_TYPE',
    choices: ['none'],
    hints: { hicache: WHY.sharedCaches },
    default: 'none',
    hidden: true,
    help: 'Only none: shared caches are not supported.',
  }),
  sharedCacheMultiplier: refused('shared-cache-multiplier', WHY.sharedCaches),
  routerDurableKvEvents: refusedSwitch('router-durable-kv-events', WHY.jetStream),
  routerSnapshotThreshold: refused('router-snapshot-threshold', WHY.jetStream),
  routerResetStates: refusedSwitch('router-reset-states', WHY.jetStream),
  routerConditionalDisagg: refusedSwitch('router-conditional-disagg', WHY.disaggregation),
  routerConditionalDisaggPolicy: refused('router-conditional-disagg-policy', WHY.disaggregation),
  routerConditionalDisaggEffIslThreshold: refused(
    'router-conditional-disagg-eff-isl-threshold',
    WHY.disaggregation,
  ),
  routerConditionalDisaggEffIslRatioThreshold: refused(
    'router-conditional-disagg-eff-isl-ratio-threshold',
    WHY.disaggregation,
  ),
  routerConditionalDisaggPrefillBusyThreshold: refused(
    'router-conditional-disagg-prefill-busy-threshold',
    WHY.disaggregation,
  ),
  routerConditionalDisaggDecodeBusyThreshold: refused(
    'router-conditional-disagg-decode-busy-threshold',
    WHY.disaggregation,
  ),
  decodeFallback: refusedSwitch('decode-fallback', WHY.disaggregation),
  enforceDisagg: refusedSwitch('enforce-disagg', WHY.disaggregation),
  serveIndexer: refusedSwitch('serve-indexer', 'the router service serves its index'),
  useRemoteIndexer: refusedSwitch(
    'use-remote-indexer',
    'ask the router service instead, with --router-placement service',
  ),
};

function loadModelOptions() {
  const aic = (name: string) => refused(`aic-${name}`, WHY.loadModels);
  return {
    aicBackend: aic('backend'),
    aicSystem: aic('system'),
    aicModelPath: aic('model-path'),
    aicBackendVersion: aic('backend-version'),
    aicTpSize: aic('tp-size'),
    aicMoeTpSize: aic('moe-tp-size'),
    aicMoeEpSize: aic('moe-ep-size'),
    aicAttentionDpSize: aic('attention-dp-size'),
  };
}

/** One thread, whatever the reference's default is. */
function eventThreads(): Option<number> {
  const why =
    'KV events are applied by one thread, which has room for a thousand workers; leave it out';
  return {
    ...option.integer({
      flag: 'router-event-threads',
      env: 'DYN_ROUTER_EVENT_THREADS',
      default: 1,
      hidden: true,
      help: 'Only 1: one thread has room for the events of a thousand workers.',
    }),
    parse: (text) => {
      if (text.trim() !== '1') throw new Error(why);
      return 1;
    },
  };
}

/** A switch that can only be off. */
function refusedSwitch(flag: string, why: string): Option<boolean> {
  return {
    ...option.boolean({ flag, env: envOf(flag), hidden: true, help: `Refused: ${why}.` }),
    parse: (text) => {
      if (parseBoolean(text)) throw new Error(why);
      return false;
    },
  };
}

/** An option that takes no value. */
function refused(flag: string, why: string): Option<undefined> {
  return {
    ...option.string({ flag, env: envOf(flag), hidden: true, help: `Refused: ${why}.` }),
    fallback: undefined,
    parse: () => {
      throw new Error(why);
    },
  };
}

function envOf(flag: string): string {
  return `DYN_${flag.replaceAll('-', '_').toUpperCase()}`;
}
