import { DynamoError, instanceIdHex } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';

import type { RawHandler, ServeOptions } from './request-plane.ts';
import { ServedHandler } from './served-handler.ts';

/** The endpoints that a process serves on one listener, by path and instance. */
export class ServedHandlers {
  readonly #byPath = new Map<string, Map<InstanceId, ServedHandler>>();

  /** Adds a handler. @throws `request.conflict` when this instance serves the endpoint already */
  add(options: ServeOptions, handler: RawHandler): ServedHandler {
    const path = formatEndpointPath(options.endpoint);
    const instances = this.#byPath.get(path) ?? new Map<InstanceId, ServedHandler>();
    this.#byPath.set(path, instances);
    if (instances.has(options.instanceId)) {
      const id = instanceIdHex(options.instanceId);
      throw new DynamoError('request.conflict', `instance ${id} serves ${path} already`);
    }
    const served = new ServedHandler(options, handler);
    instances.set(options.instanceId, served);
    return served;
  }

  /** The handler of a path and instance; id 0 means any instance. */
  find(path: string, instanceId: InstanceId): ServedHandler | undefined {
    const instances = this.#byPath.get(path);
    if (instances === undefined) return undefined;
    return instanceId === 0n ? instances.values().next().value : instances.get(instanceId);
  }

  /** Every handler, in order of paths. */
  all(): readonly ServedHandler[] {
    return [...this.#byPath.values()].flatMap((instances) => [...instances.values()]);
  }

  /** Takes a handler out and kills what it still runs. */
  remove(served: ServedHandler): void {
    const { endpoint, instanceId } = served.options;
    const instances = this.#byPath.get(formatEndpointPath(endpoint));
    if (instances?.get(instanceId) === served) instances.delete(instanceId);
    served.close();
  }

  /** Takes all out. */
  close(): void {
    for (const instances of [...this.#byPath.values()])
      for (const served of [...instances.values()]) this.remove(served);
  }
}
