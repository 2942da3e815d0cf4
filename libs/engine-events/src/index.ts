export type { EngineEventAddress, EngineEventSourceOptions } from './engine-event-source.ts';
export { EngineEventSource } from './engine-event-source.ts';
export { endpointOfRank } from './event-endpoint.ts';
export type { EventFrameSink, FramePlacement } from './frame-intake.ts';
export { ENGINE_EVENTS_METRICS } from './metrics.ts';
