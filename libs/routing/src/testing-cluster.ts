/**
 * Several workers of one endpoint in this process, each its own runtime on shared planes; for tests.
 */
import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { DistributedRuntime, createLocalPlanes } from '@dynamo-ts/runtime';
import type { Client, EventPlane, Planes, RawHandler, ServedEndpoint } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';

/** Endpoint that the workers serve. */
export const WORKER_ENDPOINT = 'test.backend.generate';

/** A worker of a {@link TestCluster}. */
export interface TestWorker {
  readonly id: InstanceId;
  readonly runtime: DistributedRuntime;
  readonly served: ServedEndpoint;
}

/** Workers, and a caller that sees them. */
export class TestCluster implements AsyncDisposable {
  readonly caller: DistributedRuntime;
  readonly client: Client;
  readonly #planes: Planes;
  readonly #runtimes: DistributedRuntime[] = [];
  #lastId = 0n;

  private constructor(planes: Planes, caller: DistributedRuntime, client: Client) {
    this.#planes = planes;
    this.caller = caller;
    this.client = client;
    this.#runtimes.push(caller);
  }

  /** A cluster without workers. `callerEvents` makes the plane on which the caller hears events. */
  static async start(
    callerEvents: (plane: EventPlane) => EventPlane = (plane) => plane,
  ): Promise<TestCluster> {
    const planes = createLocalPlanes();
    const events = callerEvents(planes.events);
    const caller = await DistributedRuntime.connect({ ...planes, events, logger: nullLogger });
    const client = await caller.endpoint(WORKER_ENDPOINT).client();
    return new TestCluster(planes, caller, client);
  }

  /** A further runtime on the same planes; ids count from 1. */
  async runtime(): Promise<DistributedRuntime> {
    this.#lastId += 1n;
    const runtime = await DistributedRuntime.connect({
      ...this.#planes,
      logger: nullLogger,
      instanceId: asInstanceId(this.#lastId),
    });
    this.#runtimes.push(runtime);
    return runtime;
  }

  /** Adds a worker that the caller sees. */
  async worker(handler: RawHandler): Promise<TestWorker> {
    const runtime = await this.runtime();
    const served = await runtime.endpoint(WORKER_ENDPOINT).serveRaw(handler);
    const id = runtime.instanceId;
    await new Promise<void>((resolve) => {
      const off = this.client.onInstances(({ instance }) => {
        if (instance.instanceId !== id) return;
        queueMicrotask(() => off());
        resolve();
      });
    });
    return { id, runtime, served };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const runtime of this.#runtimes) await runtime.close();
    await this.#planes.close();
  }
}
