export { AFFINITY_METRICS } from './affinity/metrics.ts';
export type { AffinityMode, SessionAffinityOptions } from './affinity/session-affinity.ts';
export { AFFINITY_TOPIC, SessionAffinity } from './affinity/session-affinity.ts';
export type { AnswerReport } from './answer-meter.ts';
export { ComponentKvIndexer } from './bindings/component-kv-indexer.ts';
export type { ForwardPassMetrics, PassWork } from './bindings/forward-pass-metrics.ts';
export type { KvEventPublisherOptions, PublishedBlocks } from './bindings/kv-event-publisher.ts';
export { KvEventPublisher } from './bindings/kv-event-publisher.ts';
export type { WorkerMetrics } from './bindings/kv-metrics-aggregator.ts';
export { KvMetricsAggregator } from './bindings/kv-metrics-aggregator.ts';
export type {
  GenerateOptions,
  KvPushRouterOptions,
  PotentialLoad,
  RouteOptions,
} from './bindings/kv-push-router.ts';
export { KvPushRouter } from './bindings/kv-push-router.ts';
export type { DispatchedStream } from './booked-stream.ts';
export type { BookingsOptions } from './bookings.ts';
export { Bookings } from './bookings.ts';
export { BusyDoor } from './busy/busy-door.ts';
export { withoutBusy } from './busy/busy-instance-view.ts';
export type { BusyInstancesOptions } from './busy/busy-instances.ts';
export { BusyInstances } from './busy/busy-instances.ts';
export type { BusyMonitorOptions } from './busy/busy-monitor.ts';
export { BusyMonitor } from './busy/busy-monitor.ts';
export type {
  BusyThreshold,
  BusyThresholdPatch,
  BusyThresholdsOptions,
  ModelBusyThreshold,
} from './busy/busy-thresholds.ts';
export { BusyThresholds } from './busy/busy-thresholds.ts';
export { BUSY_METRICS } from './busy/metrics.ts';
export { ReportedLoads } from './busy/reported-loads.ts';
export type { DecisionPage, DecisionSource } from './decision-page.ts';
export { DECISIONS_PATH, decisionPage } from './decision-page.ts';
export type { DispatchRequest, DispatcherOptions, WorkerPool } from './dispatcher.ts';
export { Dispatcher } from './dispatcher.ts';
export type { DisaggKeysOptions } from './disagg/disagg-keys.ts';
export type { DisaggThresholds } from './disagg/disagg-thresholds.ts';
export type {
  ConnectDisaggregatedRouterOptions,
  DisaggregatedRouterOptions,
} from './disagg/disaggregated-router.ts';
export { DisaggregatedRouter } from './disagg/disaggregated-router.ts';
export { modelFollower } from './kv/fleet/endpoint-models.ts';
export { LARGEST_RANK, MOST_RANKS } from './kv/fleet/worker-facts.ts';
export type {
  BusyRanks,
  LoadSharing,
  PlacementHost,
  PrefillBusy,
  QueueClassStats,
  QueuedFor,
  RankLoad,
  RequestQueue,
  SessionBindings,
  SessionTarget,
  SharedBooking,
} from './kv/collaborators.ts';
export type { DecisionFileOptions } from './kv/decisions/decision-file.ts';
export { DecisionFile } from './kv/decisions/decision-file.ts';
export type { IndexReport } from './kv/health/index-health.ts';
export type { AskWorker } from './kv/feed/worker-kv-query.ts';
export type { KvRouterConfig } from './kv/kv-router-config.ts';
export { kvRouterSettings } from './kv/kv-router-config.ts';
export type { KvRouterFactoryOptions } from './kv/kv-router-factory.ts';
export { KvRouterFactory } from './kv/kv-router-factory.ts';
export type { CollaboratorSeat, KvRouterOptions } from './kv/kv-router-parts.ts';
export type { KvRouterSettings } from './kv/kv-router-settings.ts';
export { KV_ROUTER_DEFAULTS } from './kv/kv-router-settings.ts';
export { KvRouter } from './kv/kv-router.ts';
export { ModelRouter } from './kv/models/model-router.ts';
export type { RoutedPool } from './kv/models/shared-routers.ts';
export { KV_INDEX_METRICS, KV_ROUTER_METRICS, ROUTED_WORKER_METRICS } from './kv/metrics.ts';
export type { DynamoEndpointsOptions } from './forward/dynamo-endpoints.ts';
export { ENDPOINT_HEADER, endpointOf, serveDynamoEndpoints } from './forward/dynamo-endpoints.ts';
export { overlapScores } from './forward/overlap-scores.ts';
export { overridesOf } from './forward/preprocessed-request.ts';
export type { ForwardedRequest, RequestForwarderOptions } from './forward/request-forwarder.ts';
export { RequestForwarder } from './forward/request-forwarder.ts';
export type { InstanceView, LocalRouterOptions } from './local-router.ts';
export { LocalRouter } from './local-router.ts';
export { DISPATCH_METRICS, ROUTER_METRICS } from './metrics.ts';
export type {
  Placement,
  PlacementRequest,
  PlacementRouter,
  PlacementWishes,
  PreferredInstance,
  PreferredTaint,
  RequestOutcome,
  RouterConfigOverride,
} from './placement-router.ts';
export { QUEUE_METRICS } from './queue/metrics.ts';
export type { PolicyConfig } from './queue/policy-config.ts';
export { parsePolicyConfig, profileFor, readPolicyConfig } from './queue/policy-config.ts';
export type { PolicyClass, PolicyProfile, QueuePolicy } from './queue/policy-profile.ts';
export { QUEUE_POLICIES, defaultProfile } from './queue/policy-profile.ts';
export type { SchedulerQueueOptions } from './queue/scheduler-queue.ts';
export { SchedulerQueue } from './queue/scheduler-queue.ts';
export type { RemoteRouterOptions } from './remote/remote-router.ts';
export { RemoteRouter } from './remote/remote-router.ts';
export { serveRouterEndpoints } from './service/router-endpoints.ts';
export { REPLICA_METRICS } from './replica/metrics.ts';
export type { ReplicaSyncOptions } from './replica/replica-sync.ts';
export { ReplicaSync, SEQUENCES_TOPIC } from './replica/replica-sync.ts';
export type { RouterMode } from './router-mode.ts';
export { ROUTER_MODES, parseRouterMode } from './router-mode.ts';
export { ROUTER_COMPONENT, ROUTER_ENDPOINTS, routerEndpointPath } from './service/router-names.ts';
export type { CallOrigin, RouterServiceOptions } from './service/router-service.ts';
export { RouterService } from './service/router-service.ts';
export type { EndpointRouter, QueueStats } from './service/endpoint-router.ts';
export type { EngineFeedHandle, OpenEngineFeed } from './service/external-workers.ts';
export { overlapMessages } from './service/rank-messages.ts';
export type { FollowedModels, OpenEndpointRouter } from './service/routed-endpoint.ts';
export type { FollowModels, OpenRouter } from './service/routed-endpoints.ts';
export type { RouterMethod } from './service/router-methods.ts';
export { ROUTER_METHODS } from './service/router-methods.ts';
export type { RouterMethodName } from './service/router-names.ts';
export { workerIds } from './worker-ids.ts';
