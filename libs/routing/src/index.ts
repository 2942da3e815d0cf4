export type { AnswerReport } from './answer-meter.ts';
export type { DispatchedStream } from './booked-stream.ts';
export type { BookingsOptions } from './bookings.ts';
export { Bookings } from './bookings.ts';
export type { DecisionPage, DecisionSource } from './decision-page.ts';
export { DECISIONS_PATH, decisionPage } from './decision-page.ts';
export type { DispatchRequest, DispatcherOptions, WorkerPool } from './dispatcher.ts';
export { Dispatcher } from './dispatcher.ts';
export type { DisaggKeysOptions } from './disagg/disagg-keys.ts';
export type {
  ConnectDisaggregatedRouterOptions,
  DisaggThresholds,
  DisaggregatedRouterOptions,
} from './disagg/disaggregated-router.ts';
export { DisaggregatedRouter } from './disagg/disaggregated-router.ts';
export type { InstanceView, LocalRouterOptions } from './local-router.ts';
export { LocalRouter } from './local-router.ts';
export { DISPATCH_METRICS, ROUTER_METRICS } from './metrics.ts';
export type {
  Placement,
  PlacementRequest,
  PlacementRouter,
  PlacementWishes,
  PreferredTaint,
  RequestOutcome,
  RouterConfigOverride,
} from './placement-router.ts';
export type { RemoteRouterOptions } from './remote/remote-router.ts';
export { RemoteRouter } from './remote/remote-router.ts';
export { serveRouterEndpoints } from './service/router-endpoints.ts';
export type { RouterMode } from './router-mode.ts';
export { ROUTER_MODES, parseRouterMode } from './router-mode.ts';
export { ROUTER_COMPONENT, ROUTER_ENDPOINTS, routerEndpointPath } from './service/router-names.ts';
export type { CallOrigin, RouterServiceOptions } from './service/router-service.ts';
export { RouterService } from './service/router-service.ts';
export type {
  EndpointRouter,
  ExternalWorker,
  IndexHealth,
  PromptQuery,
  QueueStats,
  RankLoads,
  RankOverlaps,
} from './service/endpoint-router.ts';
export type { OpenEngineFeed } from './service/external-workers.ts';
export { LocalEndpointRouter } from './service/local-endpoint-router.ts';
export type { OpenEndpointRouter, RoutedEndpoint } from './service/routed-endpoints.ts';
export type { RouterMethod } from './service/router-methods.ts';
export { ROUTER_METHODS } from './service/router-methods.ts';
export type { RouterMethodName } from './service/router-names.ts';
