/**
 * The instances of one endpoint as discovery reports them. One set per endpoint and process, shared by its clients.
 *
 * While the store is away the known instances stay. A record that cannot be read keeps its last value.
 */
import { asInstanceId, instanceIdHex, raceAbort } from '@dynamo-ts/base';
import type { AbortOptions, InstanceId } from '@dynamo-ts/base';
import { instancesPrefix, readInstanceRecord } from '@dynamo-ts/protocol';
import type { EndpointInstance, EndpointPath } from '@dynamo-ts/protocol';
import type { Logger } from '@dynamo-ts/telemetry';

import type { Discovery, DiscoveryEvent } from './discovery/discovery.ts';

/** What changed in an {@link InstanceSet}. `added` also reports a changed record. */
export type InstanceChange =
  | { readonly kind: 'added'; readonly instance: EndpointInstance }
  | { readonly kind: 'removed'; readonly instance: EndpointInstance };

/** What an {@link InstanceSet} needs. */
export interface InstanceSetOptions {
  readonly path: EndpointPath;
  readonly discovery: Discovery;
  readonly logger: Logger;
}

/** Live view of an endpoint's instances. */
export class InstanceSet {
  readonly path: EndpointPath;
  readonly #discovery: Discovery;
  readonly #logger: Logger;
  readonly #byId = new Map<InstanceId, EndpointInstance>();
  readonly #idByKey = new Map<string, InstanceId>();
  readonly #listeners = new Set<(change: InstanceChange) => void>();
  readonly #ready = Promise.withResolvers<undefined>();

  constructor(options: InstanceSetOptions) {
    this.path = options.path;
    this.#discovery = options.discovery;
    this.#logger = options.logger;
  }

  /** All instances, in order of appearance. */
  all(): readonly EndpointInstance[] {
    return [...this.#byId.values()];
  }

  /** Ids of all instances. */
  ids(): readonly InstanceId[] {
    return [...this.#byId.keys()];
  }

  get(id: InstanceId): EndpointInstance | undefined {
    return this.#byId.get(id);
  }

  /** Calls `listener` for every instance there is and every later change. @returns an unsubscribe */
  onChange(listener: (change: InstanceChange) => void): () => void {
    for (const instance of this.#byId.values()) listener({ kind: 'added', instance });
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Resolves when the first snapshot is complete. */
  async ready(options: AbortOptions = {}): Promise<void> {
    await raceAbort(this.#ready.promise, options.signal);
  }

  /** Resolves when there is at least one instance. */
  async waitForInstances(options: AbortOptions = {}): Promise<void> {
    if (this.#byId.size > 0) return;
    const appeared = Promise.withResolvers<undefined>();
    const off = this.onChange(({ kind }) => {
      if (kind === 'added') appeared.resolve(undefined);
    });
    try {
      await raceAbort(appeared.promise, options.signal);
    } finally {
      off();
    }
  }

  /** Follows discovery until aborted. */
  async follow(signal: AbortSignal): Promise<void> {
    for await (const event of this.#discovery.watch(instancesPrefix(this.path), { signal })) {
      this.#apply(event);
    }
  }

  #apply(event: DiscoveryEvent): void {
    switch (event.kind) {
      case 'put':
        this.#put(event.key, event.value);
        break;
      case 'delete':
        this.#delete(event.key);
        break;
      case 'ready':
        this.#ready.resolve(undefined);
        break;
    }
  }

  #put(key: string, value: Uint8Array): void {
    const instance = this.#parse(key, value);
    if (instance === undefined) return;
    const id = asInstanceId(instance.instanceId);
    this.#idByKey.set(key, id);
    this.#byId.set(id, instance);
    this.#logger.debug('instance is there', { instance_id: instanceIdHex(id), key });
    this.#tell({ kind: 'added', instance });
  }

  #delete(key: string): void {
    const id = this.#idByKey.get(key);
    const instance = id === undefined ? undefined : this.#byId.get(id);
    if (id === undefined || instance === undefined) return;
    this.#idByKey.delete(key);
    this.#byId.delete(id);
    this.#logger.debug('instance is gone', { instance_id: instanceIdHex(id), key });
    this.#tell({ kind: 'removed', instance });
  }

  #parse(key: string, value: Uint8Array): EndpointInstance | undefined {
    try {
      return readInstanceRecord(key, value);
    } catch (error) {
      this.#logger.warn('instance record cannot be read; its last value is kept', { key, error });
      return undefined;
    }
  }

  #tell(change: InstanceChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        // Its defect must not end the view that everyone else stands on.
        this.#logger.error('a listener of instances failed', { error });
      }
    }
  }
}
