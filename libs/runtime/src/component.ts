import { LOAD_METRICS_TOPIC } from '@dynamo-ts/protocol';
import { Endpoint } from './endpoint.ts';
import type { EndpointHost, ServeEndpointOptions } from './endpoint.ts';
import type { ServedEndpoint } from './served-endpoint.ts';
import type { EndpointHandler } from './typed-handler.ts';
import { WorkerMetricsPublisher } from './worker-metrics-publisher.ts';

/** One role in a namespace: backend, prefill, router, … */
export class Component {
  readonly namespace: string;
  readonly name: string;
  readonly #host: EndpointHost;

  constructor(namespace: string, name: string, host: EndpointHost) {
    this.namespace = namespace;
    this.name = name;
    this.#host = host;
  }

  /** One of its endpoints. */
  endpoint(name: string): Endpoint {
    return new Endpoint(
      { namespace: this.namespace, component: this.name, endpoint: name },
      this.#host,
    );
  }

  /** Serves a handler under a name; short for `endpoint(name).serve(handler)`. */
  async registerEndpoint<Req = unknown, Res = unknown>(
    name: string,
    handler: EndpointHandler<Req, Res>,
    options: ServeEndpointOptions = {},
  ): Promise<ServedEndpoint> {
    return this.endpoint(name).serve(handler, options);
  }

  /** Publishes this process's load as a worker of the component. */
  async createMetricsPublisher(): Promise<WorkerMetricsPublisher> {
    const scope = { namespace: this.namespace, component: this.name };
    const publisher = await this.#host.publisher({ scope, topic: LOAD_METRICS_TOPIC });
    return new WorkerMetricsPublisher(publisher);
  }
}

/** Logical isolation of one deployment. */
export class Namespace {
  readonly name: string;
  readonly #host: EndpointHost;

  constructor(name: string, host: EndpointHost) {
    this.name = name;
    this.#host = host;
  }

  /** One of its components. */
  component(name: string): Component {
    return new Component(this.name, name, this.#host);
  }
}
