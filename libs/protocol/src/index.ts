export { readFileDescriptors } from './descriptors.ts';
export type { EndpointPath, EventScope } from './keys.ts';
export {
  EVENT_CHANNELS_PREFIX,
  INSTANCES_PREFIX,
  MODEL_CARDS_PREFIX,
  encodeSegment,
  endpointUri,
  eventChannelKey,
  eventScopeKey,
  eventSubject,
  formatEndpointPath,
  instanceKey,
  instancesPrefix,
  modelCardKey,
  parseEndpointPath,
} from './keys.ts';
export { hashesFromBytes, hashesToBytes, tokenIdsFromBytes, tokenIdsToBytes } from './token-ids.ts';
export {
  EndpointInstance,
  EventChannel,
  ModelDeploymentCard,
  ModelFile,
  ModelFileChunk,
  ModelFileRequest,
  ModelRecord,
  ModelRuntimeConfig,
  Transport,
} from './gen/dynamo/discovery/v1/discovery.ts';
export type { EventServiceServer } from './gen/dynamo/events/v1/events.ts';
export {
  ActiveLoad,
  EventEnvelope,
  EventServiceClient,
  EventServiceService,
  SubscribeRequest,
  SubscribeResponse,
} from './gen/dynamo/events/v1/events.ts';
export type { EngineServiceServer } from './gen/dynamo/llm/v1/llm.ts';
export {
  EngineServiceClient,
  EngineServiceService,
  FinishReason,
  GenerateRequest,
  GenerateResponse,
  GuidedDecoding,
  OutputOptions,
  RoutingHints,
  SamplingOptions,
  SamplingOptions_LogitBiasEntry,
  StopConditions,
  TextInput,
  TextInput_Kind,
  TokenLogprob,
  TopLogprob,
  Usage,
} from './gen/dynamo/llm/v1/llm.ts';
export type { MuxServiceServer } from './gen/dynamo/mux/v1/mux.ts';
export {
  Accepted,
  ClientFrame,
  ConnectRequest,
  ConnectResponse,
  End,
  Failure,
  Failure_DetailsEntry,
  HalfClose,
  Kill,
  MuxServiceClient,
  MuxServiceService,
  Open,
  Open_HeadersEntry,
  ServerFrame,
  Stop,
} from './gen/dynamo/mux/v1/mux.ts';
export type { RouterServiceServer } from './gen/dynamo/router/v1/router.ts';
export {
  FreeRequest,
  FreeResponse,
  PrefillDoneRequest,
  PrefillDoneResponse,
  RouteRequest,
  RouteResponse,
  RouterServiceClient,
  RouterServiceService,
} from './gen/dynamo/router/v1/router.ts';
export type { HealthServer } from './gen/grpc/health/v1/health.ts';
export {
  HealthCheckRequest,
  HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
  HealthClient,
  HealthService,
} from './gen/grpc/health/v1/health.ts';
