import { endpointUri, formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';

import type { Client, ClientOptions } from './client.ts';
import type { EventPublisher, EventTopic } from './event-plane/event-plane.ts';
import type { RawHandler } from './request-plane/request-plane.ts';
import type { ServedEndpoint } from './served-endpoint.ts';
import { typedHandler } from './typed-handler.ts';
import type { EndpointHandler } from './typed-handler.ts';

/** Settings of a served endpoint. */
export interface ServeEndpointOptions {
  /** Whether shutdown waits for requests in flight; off lets them migrate at once. @default true */
  readonly gracefulShutdown?: boolean;
  /** Request that a health check may send to the handler. */
  readonly healthCheckPayload?: unknown;
  /** Extra metric labels; only `model` is used. */
  readonly metricsLabels?: { readonly model?: string };
  /** Whether the instance is put into discovery at once. @default true */
  readonly register?: boolean;
}

/** What an {@link Endpoint} asks its runtime for. */
export interface EndpointHost {
  serve(
    path: EndpointPath,
    handler: RawHandler,
    options: ServeEndpointOptions,
  ): Promise<ServedEndpoint>;
  client<Req, Res>(path: EndpointPath, options: ClientOptions): Promise<Client<Req, Res>>;
  /** A publisher under this process's instance id. */
  publisher(topic: EventTopic): Promise<EventPublisher>;
}

/** A named, network-callable handler of a component. */
export class Endpoint {
  readonly path: EndpointPath;
  readonly #host: EndpointHost;

  constructor(path: EndpointPath, host: EndpointHost) {
    this.path = path;
    this.#host = host;
  }

  /** Name without its component. */
  get name(): string {
    return this.path.endpoint;
  }

  /** `dyn://namespace.component.endpoint`. */
  get uri(): string {
    return endpointUri(this.path);
  }

  /** Serves an async-generator handler with MessagePack payloads, then registers this process as an instance. */
  async serve<Req = unknown, Res = unknown>(
    handler: EndpointHandler<Req, Res>,
    options: ServeEndpointOptions = {},
  ): Promise<ServedEndpoint> {
    return this.#host.serve(this.path, typedHandler(handler), options);
  }

  /** Alias of {@link serve}, as the reference calls it. */
  async serveEndpoint<Req = unknown, Res = unknown>(
    handler: EndpointHandler<Req, Res>,
    options: ServeEndpointOptions = {},
  ): Promise<ServedEndpoint> {
    return this.serve(handler, options);
  }

  /** Serves a handler of opaque bytes, then registers this process as an instance. */
  async serveRaw(handler: RawHandler, options: ServeEndpointOptions = {}): Promise<ServedEndpoint> {
    return this.#host.serve(this.path, handler, options);
  }

  /** A client of this endpoint; resolves when discovery has reported the instances there are. */
  async client<Req = unknown, Res = unknown>(
    options: ClientOptions = {},
  ): Promise<Client<Req, Res>> {
    return this.#host.client(this.path, options);
  }

  toString(): string {
    return formatEndpointPath(this.path);
  }
}
