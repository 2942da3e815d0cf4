export type { KvEvent } from './kv-events.ts';
export { decodeKvEvents } from './kv-events.ts';
export type { MockEngineHost, MockRankLoad, MockRankTotals } from './mock-engine.ts';
export { MockEngine } from './mock-engine.ts';
export type {
  MockEngineDefaults,
  MockEngineOptions,
  PreemptionMode,
} from './mock-engine-options.ts';
export { MOCK_ENGINE_DEFAULTS } from './mock-engine-options.ts';
export type {
  ReplayCost,
  ReplayMode,
  ReplayResult,
  ReplaySettings,
  ReplayTrace,
  WorkerLifetime,
} from './replay-trace.ts';
export { replayTrace } from './replay-trace.ts';
export type {
  MockHandle,
  MockOutput,
  MockReceiver,
  MockRejection,
  MockRequest,
} from './mock-request.ts';
