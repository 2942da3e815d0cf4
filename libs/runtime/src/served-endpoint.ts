/**
 * An endpoint that this process serves: a handler on the request plane and the instance record that makes it known.
 *
 * The record appears after the handler can take requests and goes before it stops. Sleep and wake are `unregister` and
 * `register`.
 */
import { AbortReasonError } from '@dynamo-ts/base';
import type { EndpointInstance, EndpointPath } from '@dynamo-ts/protocol';
import { EndpointInstance as EndpointInstanceCodec, instanceKey } from '@dynamo-ts/protocol';

import type { Discovery, Registration } from './discovery/discovery.ts';
import type { ServedTransport } from './request-plane/request-plane.ts';

/** What a {@link ServedEndpoint} is made of. */
export interface ServedEndpointOptions {
  readonly instance: EndpointInstance;
  readonly served: ServedTransport;
  readonly discovery: Discovery;
  readonly gracefulShutdown: boolean;
  readonly healthCheckPayload: unknown;
  readonly onClose: (endpoint: ServedEndpoint) => void;
}

/** A record on its way into discovery, or there. */
interface PendingRegistration {
  readonly done: Promise<Registration>;
  /** Ends the wait for a store that is away. */
  readonly giveUp: AbortController;
}

/** A served endpoint; close it to stop serving. */
export class ServedEndpoint implements AsyncDisposable {
  /** The record that discovery holds while registered. */
  readonly instance: EndpointInstance;
  /** Whether shutdown waits for requests in flight; otherwise they are cut and may migrate. */
  readonly gracefulShutdown: boolean;
  /** Request that a health check may send; undefined when the endpoint gave none. */
  readonly healthCheckPayload: unknown;
  readonly #served: ServedTransport;
  readonly #discovery: Discovery;
  readonly #onClose: (endpoint: ServedEndpoint) => void;
  #registration: PendingRegistration | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ServedEndpointOptions) {
    this.instance = options.instance;
    this.gracefulShutdown = options.gracefulShutdown;
    this.healthCheckPayload = options.healthCheckPayload;
    this.#served = options.served;
    this.#discovery = options.discovery;
    this.#onClose = options.onClose;
  }

  /** Where the endpoint is served. */
  get path(): EndpointPath {
    const { namespace, component, endpoint } = this.instance;
    return { namespace, component, endpoint };
  }

  /** Whether callers can find it. */
  get registered(): boolean {
    return this.#registration !== undefined;
  }

  /** Puts the instance record into discovery (wake). Idempotent. */
  async register(): Promise<void> {
    const registration = (this.#registration ??= this.#startRegistration());
    try {
      await registration.done;
    } catch (error) {
      if (this.#registration === registration) this.#registration = undefined;
      throw error;
    }
  }

  /** Takes the instance record out of discovery while still serving (sleep). Idempotent. */
  async unregister(): Promise<void> {
    const registration = this.#registration;
    this.#registration = undefined;
    registration?.giveUp.abort(new AbortReasonError('shutdown'));
    // One that failed, or was given up while the store was away, has left nothing to remove.
    const done = await registration?.done.catch(() => undefined);
    await done?.close();
  }

  /** Refuses new requests; those that run go on. Idempotent. */
  refuse(): void {
    this.#served.refuse();
  }

  /** Resolves when no request runs. */
  async idle(): Promise<void> {
    await this.#served.idle();
  }

  /** Deregisters, kills what still runs, and stops serving. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #startRegistration(): PendingRegistration {
    const giveUp = new AbortController();
    const record = {
      key: instanceKey(this.path, this.instance.instanceId),
      value: new TextEncoder().encode(JSON.stringify(EndpointInstanceCodec.toJSON(this.instance))),
    };
    return { giveUp, done: this.#discovery.register(record, { signal: giveUp.signal }) };
  }

  async #close(): Promise<void> {
    try {
      await this.unregister();
    } finally {
      await this.#served.close();
      this.#onClose(this);
    }
  }
}
