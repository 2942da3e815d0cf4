/**
 * Options of placement by cached prefixes and load, for every process that routes: frontend, router service (RP 4.12).
 * Names and defaults are the reference's where it has the option. What is not built is refused by name.
 */
import { NOT_BUILT } from './not-built-options.ts';
import { option, optionGroup } from './option.ts';

const COST = {
  routerKvOverlapScoreCredit: option.number({
    flag: 'router-kv-overlap-score-credit',
    env: 'DYN_ROUTER_KV_OVERLAP_SCORE_CREDIT',
    min: 0,
    default: 1,
    help: 'Blocks of work that each prompt block in the device cache of a worker saves; 0 looks at load alone.',
  }),
  routerKvOverlapScoreCreditDecay: option.number({
    flag: 'router-kv-overlap-score-credit-decay',
    env: 'DYN_ROUTER_KV_OVERLAP_SCORE_CREDIT_DECAY',
    min: 0,
    default: 0,
    help: "How fast that credit falls with a worker's prefill backlog above the least loaded one's; 0 keeps it.",
  }),
  routerPrefillLoadScale: option.number({
    flag: 'router-prefill-load-scale',
    env: 'DYN_ROUTER_PREFILL_LOAD_SCALE',
    min: 0,
    default: 1,
    help: 'Weight of prompt blocks to compute against blocks in use.',
  }),
  routerHostCacheHitWeight: option.number({
    flag: 'router-host-cache-hit-weight',
    env: 'DYN_ROUTER_HOST_CACHE_HIT_WEIGHT',
    min: 0,
    default: 0.75,
    help: 'Blocks of work that a prompt block in host memory saves.',
  }),
  routerDiskCacheHitWeight: option.number({
    flag: 'router-disk-cache-hit-weight',
    env: 'DYN_ROUTER_DISK_CACHE_HIT_WEIGHT',
    min: 0,
    default: 0.25,
    help: 'Blocks of work that a prompt block on disk saves.',
  }),
  routerDisplacementWeight: option.number({
    flag: 'router-displacement-weight',
    env: 'DYN_ROUTER_DISPLACEMENT_WEIGHT',
    min: 0,
    default: 4,
    help: 'Blocks of work that each cached block costs which a placement would evict, now or as the cache fills up; 0 does not count evictions.',
  }),
  routerDecodeActiveRequestWeight: option.number({
    flag: 'router-decode-active-request-weight',
    env: 'DYN_ROUTER_DECODE_ACTIVE_REQUEST_WEIGHT',
    min: 0,
    help: 'Blocks of work that each request which a worker already has costs. Default 384 divided by the block size.',
  }),
  routerKvOverlapScoreWeight: option.number({
    flag: 'router-kv-overlap-score-weight',
    aliases: ['kv-overlap-score-weight'],
    env: 'DYN_ROUTER_KV_OVERLAP_SCORE_WEIGHT',
    envAliases: ['DYN_OVERLAP_SCORE_WEIGHT'],
    min: 0,
    hidden: true,
    help: 'Deprecated name of the prefill load scale; 0 also takes the credit of overlap away.',
  }),
  routerSelectionPolicy: option.choice({
    flag: 'router-selection-policy',
    env: 'DYN_ROUTER_SELECTION_POLICY',
    choices: ['default', 'lmetric'],
    hints: {
      custom: 'write a router of your own on KvIndexer instead, see examples/custom-router',
    },
    default: 'default',
    help: 'How prompt work and load become one cost: their sum, or their product (lmetric).',
  }),
  routerTemperature: option.number({
    flag: 'router-temperature',
    env: 'DYN_ROUTER_TEMPERATURE',
    min: 0,
    default: 0,
    help: 'Randomness of the choice: 0 takes the lowest cost, higher values spread requests.',
  }),
  routerLoadAware: option.boolean({
    flag: 'load-aware',
    env: 'DYN_ROUTER_LOAD_AWARE',
    help: 'Route by load alone: no credit for overlap, no events, no reuse between requests.',
  }),
};

const INDEX = {
  routerKvEvents: option.boolean({
    flag: 'router-kv-events',
    env: 'DYN_ROUTER_USE_KV_EVENTS',
    default: true,
    help: "Learn what workers have cached from their events; without it from the router's own choices.",
  }),
  routerTtlMs: option.duration({
    flag: 'router-ttl-secs',
    env: 'DYN_ROUTER_TTL_SECS',
    unit: 's',
    min: 1,
    default: 120_000,
    help: 'How long a routed prompt counts as cached on a worker whose events are missing.',
  }),
  routerPredictedTtlMs: option.duration({
    flag: 'router-predicted-ttl-secs',
    env: 'DYN_ROUTER_PREDICTED_TTL_SECS',
    unit: 's',
    min: 1,
    help: 'How long a routed prompt counts as cached before its worker says so; without it not at all.',
  }),
  routerMaxTreeSize: option.integer({
    flag: 'router-max-tree-size',
    env: 'DYN_ROUTER_MAX_TREE_SIZE',
    min: 1,
    default: 1_048_576,
    help: 'Blocks of routed prompts that are remembered for workers without events.',
  }),
  routerPruneTargetRatio: option.number({
    flag: 'router-prune-target-ratio',
    env: 'DYN_ROUTER_PRUNE_TARGET_RATIO',
    min: 0,
    max: 1,
    default: 0.8,
    help: 'Share of them that is left when there are too many.',
  }),
  routerIndexBudgetMb: option.number({
    flag: 'router-index-budget-mb',
    env: 'DYN_ROUTER_INDEX_BUDGET_MB',
    min: 1,
    help: 'Memory in MiB that the index of one endpoint may take; the blocks used longest ago go first. Without it no limit.',
  }),
  routerMinInitialWorkers: option.integer({
    flag: 'router-min-initial-workers',
    env: 'DYN_ROUTER_MIN_INITIAL_WORKERS',
    min: 0,
    default: 0,
    help: 'Workers that must be there, and restored, before the router counts as ready, or the frontend serves the model; it waits for 10 s at most.',
  }),
};

const LOAD = {
  routerTrackActiveBlocks: option.boolean({
    flag: 'router-track-active-blocks',
    env: 'DYN_ROUTER_TRACK_ACTIVE_BLOCKS',
    default: true,
    help: 'Count the blocks that running requests hold as load.',
  }),
  routerTrackOutputBlocks: option.boolean({
    flag: 'router-track-output-blocks',
    env: 'DYN_ROUTER_TRACK_OUTPUT_BLOCKS',
    help: 'Count the blocks that answers fill, too.',
  }),
  routerTrackPrefillTokens: option.boolean({
    flag: 'router-track-prefill-tokens',
    env: 'DYN_ROUTER_TRACK_PREFILL_TOKENS',
    default: true,
    help: 'Count prompt tokens that are not computed yet as load.',
  }),
  routerAssumeKvReuse: option.boolean({
    flag: 'router-assume-kv-reuse',
    env: 'DYN_ROUTER_ASSUME_KV_REUSE',
    default: true,
    help: 'Count blocks that two requests share on a worker once.',
  }),
  routerActiveSequenceStride: option.integer({
    flag: 'router-active-sequence-stride',
    env: 'DYN_ROUTER_ACTIVE_SEQUENCE_STRIDE',
    min: 1,
    max: 1024,
    default: 1,
    help: 'Keep every Nth block hash of running requests; must be the same in all routers.',
  }),
  routerReplicaSync: option.boolean({
    flag: 'router-replica-sync',
    env: 'DYN_ROUTER_REPLICA_SYNC',
    default: true,
    help: 'Tell other routers of the same workers what is booked, so that they do not all choose the same one.',
  }),
  bookingExpiryMs: option.duration({
    flag: 'router-active-request-expiry',
    env: 'DYN_ROUTER_ACTIVE_REQUEST_EXPIRY_SECS',
    unit: 's',
    min: 1000,
    default: 3_600_000,
    help: 'Age at which the booking of a request that nobody gave back goes; longer than the longest request.',
  }),
  activeDecodeBlocksThreshold: option.number({
    flag: 'active-decode-blocks-threshold',
    env: 'DYN_ACTIVE_DECODE_BLOCKS_THRESHOLD',
    min: 0,
    max: 1,
    help: 'Share of its KV blocks in use above which a worker takes no more requests; without it no limit.',
  }),
  activePrefillTokensThreshold: option.integer({
    flag: 'active-prefill-tokens-threshold',
    env: 'DYN_ACTIVE_PREFILL_TOKENS_THRESHOLD',
    min: 0,
    help: 'Prompt tokens not computed yet above which a worker takes no more requests; without it no limit.',
  }),
  activePrefillTokensThresholdFrac: option.number({
    flag: 'active-prefill-tokens-threshold-frac',
    env: 'DYN_ACTIVE_PREFILL_TOKENS_THRESHOLD_FRAC',
    min: 0,
    help: 'The same as a multiple of the tokens that the worker computes at once.',
  }),
};

const QUEUE = {
  routerQueueThreshold: option.number({
    flag: 'router-queue-threshold',
    env: 'DYN_ROUTER_QUEUE_THRESHOLD',
    min: 0,
    help: 'Requests wait while every worker has more prompt tokens to compute than this multiple of what it computes at once; without it none waits.',
  }),
  routerQueuePolicy: option.choice({
    flag: 'router-queue-policy',
    env: 'DYN_ROUTER_QUEUE_POLICY',
    choices: ['fcfs', 'wspt', 'lcfs'],
    default: 'fcfs',
    help: 'Who goes first: the oldest (fcfs), the least work (wspt), the newest (lcfs).',
  }),
  routerPolicyConfig: option.path({
    flag: 'router-policy-config',
    env: 'DYN_ROUTER_POLICY_CONFIG',
    help: 'YAML file with classes of requests, their queues and limits.',
  }),
  routerQueueTimeoutMs: option.duration({
    flag: 'router-queue-timeout',
    env: 'DYN_ROUTER_QUEUE_TIMEOUT_SECS',
    unit: 's',
    min: 0,
    default: 60_000,
    help: 'Longest wait; 0 is no limit.',
  }),
  routerOverlapRefreshAfterMs: option.duration({
    flag: 'router-overlap-refresh-after',
    env: 'DYN_ROUTER_OVERLAP_REFRESH_AFTER_SECS',
    unit: 's',
    min: 0,
    default: 10_000,
    help: 'Age at which a waiting request looks at the caches again; 0 never does.',
  }),
  routerSessionAffinityTtlMs: option.duration({
    flag: 'router-session-affinity-ttl-secs',
    env: 'DYN_ROUTER_SESSION_AFFINITY_TTL_SECS',
    unit: 's',
    min: 1000,
    max: 31_536_000_000,
    help: 'Keep requests of one session (X-Dynamo-Session-ID) on one worker until it was silent for so long; without it sessions mean nothing.',
  }),
  routerSessionAffinityMode: option.choice({
    flag: 'router-session-affinity-mode',
    env: 'DYN_ROUTER_SESSION_AFFINITY_MODE',
    choices: ['hard', 'soft'],
    default: 'hard',
    help: 'Whether that worker must, or should, take them.',
  }),
};

const DECISIONS = {
  routerDecisionMemoryMb: option.number({
    flag: 'router-decision-memory-mb',
    env: 'DYN_ROUTER_DECISION_MEMORY_MB',
    min: 0,
    max: 4096,
    default: 16,
    help: 'Memory in MiB for recent decisions of one endpoint, which "dynamo explain" shows; 0 records none.',
  }),
  routerDecisionLog: option.path({
    flag: 'router-decision-log',
    env: 'DYN_ROUTER_DECISION_LOG',
    help: 'Write decisions to this file, one JSON object per line, for "dynamo explain" and "dynamo replay". While another process writes it, the file is FILE-2, FILE-3 and so on.',
  }),
  routerDecisionLogMaxMb: option.number({
    flag: 'router-decision-log-max-mb',
    env: 'DYN_ROUTER_DECISION_LOG_MAX_MB',
    min: 1,
    default: 64,
    help: 'Size in MiB at which the file is rotated; three older ones are kept.',
  }),
};

/** Every option of a `KvRouter`, in the order of the help text. */
export const KV_ROUTER_OPTIONS = optionGroup('KV routing', {
  ...COST,
  ...INDEX,
  ...LOAD,
  ...QUEUE,
  ...DECISIONS,
  ...NOT_BUILT,
});
