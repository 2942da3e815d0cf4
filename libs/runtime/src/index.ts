export type { Annotated } from './annotated.ts';
export { annotated } from './annotated.ts';
export type { AnnotatedCallOptions, CallOptions, ClientOptions } from './client.ts';
export { Client } from './client.ts';
export { Component, Namespace } from './component.ts';
export type { ContextOptions } from './context.ts';
export { Context } from './context.ts';
export type { PlaneSettings } from './create-planes.ts';
export { createPlanes } from './create-planes.ts';
export type {
  Discovery,
  DiscoveryEvent,
  DiscoveryRecord,
  DiscoveryState,
  Registration,
} from './discovery/discovery.ts';
export type { DistributedRuntimeOptions } from './distributed-runtime.ts';
export { DistributedRuntime } from './distributed-runtime.ts';
export type { RequestSchema } from './dynamo-endpoint.ts';
export { dynamoEndpoint } from './dynamo-endpoint.ts';
export type { DynamoWorker, DynamoWorkerOptions } from './dynamo-worker.ts';
export { dynamoWorker } from './dynamo-worker.ts';
export type { ServeEndpointOptions } from './endpoint.ts';
export { Endpoint } from './endpoint.ts';
export type { EventPlane, EventPublisher, EventTopic } from './event-plane/event-plane.ts';
export { advertisedHost } from './grpc/advertised-host.ts';
export type { GrpcServerOptions, GrpcService } from './grpc/grpc-server.ts';
export { GrpcServer, createGrpcServer } from './grpc/grpc-server.ts';
export { serverStreamMethod } from './grpc/server-stream-method.ts';
export { unaryMethod } from './grpc/unary-method.ts';
export type { InstanceChange } from './instance-set.ts';
export { createLocalPlanes } from './local-planes.ts';
export { RUNTIME_METRICS } from './metrics.ts';
export { decodePayload, encodePayload } from './payload-codec.ts';
export type { DiscoveryBackend, EventPlaneBackend, RequestPlaneBackend } from './plane-settings.ts';
export { parseDiscoveryBackend, parseEventPlane, parseRequestPlane } from './plane-settings.ts';
export type { Planes } from './planes.ts';
export { LocalRequestPlane } from './request-plane/local/local-request-plane.ts';
export type { GrpcRequestPlaneOptions } from './request-plane/mux/grpc-request-plane.ts';
export { GrpcRequestPlane } from './request-plane/mux/grpc-request-plane.ts';
export type {
  IncomingRequest,
  OutgoingRequest,
  RawHandler,
  RawResponse,
  RequestPlane,
  RequestTarget,
  ResponseSink,
  ServedTransport,
  ServeOptions,
} from './request-plane/request-plane.ts';
export { ResponseStream } from './response-stream.ts';
export type { SelectionPolicy, SelectionSource } from './selection.ts';
export { SELECTION_POLICIES, createSelectionSource, selectInstance } from './selection.ts';
export { ServedEndpoint } from './served-endpoint.ts';
export type { EndpointHandler, HandlerCodec } from './typed-handler.ts';
export { codecHandler } from './typed-handler.ts';
export type { WorkerLoadReport } from './worker-metrics-publisher.ts';
export { WorkerMetricsPublisher } from './worker-metrics-publisher.ts';
