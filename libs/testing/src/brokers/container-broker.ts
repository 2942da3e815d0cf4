import { GenericContainer, Wait, getContainerRuntimeClient } from 'testcontainers';
import type { StartedTestContainer } from 'testcontainers';

import { eventually } from '../eventually.ts';
import type { Broker, BrokerSpec } from './broker.ts';
import { freePort } from './free-port.ts';

/** A broker in a container whose host port is fixed, so that it survives restarts. */
export class ContainerBroker implements Broker {
  readonly #spec: BrokerSpec;
  readonly #port: number;
  #container: StartedTestContainer | undefined;
  #address = '';

  private constructor(spec: BrokerSpec, port: number) {
    this.#spec = spec;
    this.#port = port;
  }

  /** Starts a container of the image of `spec`. */
  static async launch(spec: BrokerSpec): Promise<ContainerBroker> {
    const broker = new ContainerBroker(spec, await freePort());
    await broker.start();
    return broker;
  }

  get address(): string {
    return this.#address;
  }

  async start(): Promise<void> {
    if (this.#container) await (await this.#handle()).start();
    else this.#container = await this.#create();
    this.#address = `${this.#container.getHost()}:${this.#port}`;
    await eventually(() => this.#spec.isReady(this.address), {
      timeoutMs: 60_000,
      what: `${this.#spec.name} container ready`,
    });
  }

  async kill(): Promise<void> {
    await (await this.#handle()).kill();
  }

  async wipe(): Promise<void> {
    await (await this.#handle()).remove({ force: true, v: true });
    this.#container = undefined;
  }

  async pause(): Promise<void> {
    await (await this.#handle()).pause();
  }

  async resume(): Promise<void> {
    await (await this.#handle()).unpause();
  }

  async close(): Promise<void> {
    if (this.#container) await this.wipe();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #create(): Promise<StartedTestContainer> {
    const { image, binary, containerPort } = this.#spec;
    const place = { host: '0.0.0.0', port: containerPort, peerPort: 2380, dataPath: '/tmp/data' };
    return new GenericContainer(image)
      .withEntrypoint([binary])
      .withCommand([...this.#spec.commandLine(place)])
      .withExposedPorts({ container: containerPort, host: this.#port })
      .withWaitStrategy(Wait.forLogMessage(/ready/i))
      .start();
  }

  async #handle(): ReturnType<typeof containerHandle> {
    if (!this.#container) throw new Error(`${this.#spec.name} has no container; start it first`);
    return containerHandle(this.#container.getId());
  }
}

async function containerHandle(
  id: string,
): Promise<
  ReturnType<Awaited<ReturnType<typeof getContainerRuntimeClient>>['container']['getById']>
> {
  const client = await getContainerRuntimeClient();
  return client.container.getById(id);
}
