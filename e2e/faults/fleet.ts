/** A whole deployment on this machine, every service a process, on files or on real brokers. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  SeverableProxy,
  etcdProvider,
  eventually,
  freePort,
  natsProvider,
} from '@dynamo-ts/testing';
import type { Broker, BrokerProvider } from '@dynamo-ts/testing';

import { MODEL, complete } from './completion.ts';
import { Service } from './service.ts';
import type { ServiceKind } from './service.ts';

/** Settings of a {@link Fleet}. */
export interface FleetOptions {
  /** @default 1 */
  readonly frontends?: number;
  /** Router services; 0 routes inside the frontends. @default 0 */
  readonly routers?: number;
  /** @default 3 */
  readonly workers?: number;
  /** What services find each other by: files and direct connections, or etcd and NATS. @default 'files' */
  readonly planes?: 'files' | 'brokers';
  readonly frontendArgs?: readonly string[];
  readonly routerArgs?: readonly string[];
  /** @default the mocker at a speed at which an answer takes about a second */
  readonly workerArgs?: readonly string[];
  /** How long a service that stops goes on accepting, in seconds. @default 1, less than the product's 5 */
  readonly graceSeconds?: number;
  /** Log level of every service. @default 'error' */
  readonly log?: string;
  /** Everything that a service says to others passes ports that nobody else uses, {@link Service.ports}. @default false */
  readonly cuttable?: boolean;
  /** Starts nothing; the scenario does. @default false */
  readonly cold?: boolean;
}

/** A broker and the only way to it. */
export interface ReachedBroker {
  readonly broker: Broker;
  readonly way: SeverableProxy;
}

/** Ports of one service's own. */
interface OwnPorts {
  /** Where others reach it; 0 takes any. */
  readonly rpc: number;
  readonly etcd: number;
  readonly nats: number;
}

/** etcd and NATS of a fleet. */
export interface Brokers {
  readonly etcd: ReachedBroker;
  readonly nats: ReachedBroker;
}

/** Much more than it takes: beside other work a start may be slow. */
const READY_TIMEOUT_MS = 180_000;

/** A deployment that a scenario may hurt. */
export class Fleet implements AsyncDisposable {
  readonly services: Service[] = [];
  /** Where services on files find each other. */
  readonly folder: string;
  readonly #options: FleetOptions;
  readonly #brokers: Brokers | undefined;
  /** Of services that have their own. */
  readonly #ways: SeverableProxy[] = [];
  #made = 0;

  private constructor(options: FleetOptions, folder: string, brokers: Brokers | undefined) {
    this.#options = options;
    this.folder = folder;
    this.#brokers = brokers;
  }

  /** Starts brokers and services and waits until every frontend answers a request. */
  static async start(options: FleetOptions = {}): Promise<Fleet> {
    const folder = await mkdtemp(join(tmpdir(), 'dynamo-faults-'));
    const brokers = options.planes === 'brokers' ? await startBrokers() : undefined;
    const fleet = new Fleet(options, folder, brokers);
    try {
      await fleet.#make('worker', options.workers ?? 3);
      await fleet.#make('router', options.routers ?? 0);
      await fleet.#make('frontend', options.frontends ?? 1);
      if (options.cold !== true) {
        for (const service of fleet.services) service.launch();
        await fleet.answers();
      }
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The fleet's etcd and NATS. */
  get brokers(): Brokers {
    if (this.#brokers === undefined) throw new Error('this fleet has no brokers');
    return this.#brokers;
  }

  /** Addresses of the frontends. */
  get urls(): readonly string[] {
    return this.all('frontend').map(({ url }) => url);
  }

  /** Services of a kind, in the order in which they were made. */
  all(kind: ServiceKind): readonly Service[] {
    return this.services.filter((service) => service.kind === kind);
  }

  /** One service of a kind. */
  one(kind: ServiceKind, index = 0): Service {
    const service = this.all(kind)[index];
    if (service === undefined) throw new Error(`the fleet has no ${kind} ${index}`);
    return service;
  }

  /** Makes one more service that is not started yet. */
  async add(kind: ServiceKind): Promise<Service> {
    const [service] = await this.#make(kind, 1);
    if (service === undefined) throw new Error('nothing was made');
    return service;
  }

  /** Waits until every frontend answers a request, and its router knows every worker that runs. */
  async answers(): Promise<void> {
    for (const url of this.urls)
      await eventually(
        async () => (await complete(url, { prompt: 'up?', max_tokens: 1 })).kind === 'answered',
        { timeoutMs: READY_TIMEOUT_MS, what: `${url} answers` },
      );
    for (const service of this.services) if (service.runs) await service.ready();
  }

  /** Requests that run on the workers, by their own metrics. */
  async inFlight(): Promise<number> {
    return this.#ofWorkers('dynamo_component_inflight_requests');
  }

  /** Requests that have ever reached the workers that run. */
  async taken(): Promise<number> {
    return this.#ofWorkers('dynamo_component_requests_total');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.services.map((service) => service[Symbol.asyncDispose]()));
    const brokers = this.#brokers === undefined ? [] : [this.#brokers.etcd, this.#brokers.nats];
    for (const way of this.#ways) await way.close();
    for (const { broker, way } of brokers) {
      await way.close();
      await broker.close();
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  async #ofWorkers(metric: string): Promise<number> {
    const running = this.all('worker').filter(({ runs }) => runs);
    const counts = running.map(async (worker) =>
      worker.metric(metric, 'dynamo_endpoint="generate"'),
    );
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }

  async #make(kind: ServiceKind, count: number): Promise<readonly Service[]> {
    const made: Service[] = [];
    for (let index = 0; index < count; index += 1) made.push(await this.#service(kind));
    this.services.push(...made);
    return made;
  }

  async #service(kind: ServiceKind): Promise<Service> {
    this.#made += 1;
    const name = `${kind}-${this.#made}`;
    const port = await freePort();
    const own = await this.#ports();
    const args = [...this.#planeArgs(own), ...this.#ownArgs(kind, port)];
    const url = `http://127.0.0.1:${port}`;
    const { log } = this.#options;
    return new Service({ kind, name, args, url, log, ...own });
  }

  async #ports(): Promise<OwnPorts> {
    const { etcd, nats } = this.#brokers ?? {};
    if (this.#options.cuttable !== true)
      return { rpc: 0, etcd: etcd?.way.port ?? 0, nats: nats?.way.port ?? 0 };
    const [rpc, toEtcd, toNats] = [await freePort(), await this.#way(etcd), await this.#way(nats)];
    return { rpc, etcd: toEtcd, nats: toNats };
  }

  /** Port of one more way to a broker. */
  async #way(reached: ReachedBroker | undefined): Promise<number> {
    if (reached === undefined) return 0;
    const way = await SeverableProxy.listen();
    way.pointAt(reached.way.port);
    this.#ways.push(way);
    return way.port;
  }

  #ownArgs(kind: ServiceKind, port: number): readonly string[] {
    const {
      frontendArgs = [],
      routerArgs = [],
      workerArgs = ['--speedup-ratio=1'],
    } = this.#options;
    const status = ['--system-host=127.0.0.1', `--system-port=${port}`];
    const grace = `--graceful-shutdown-grace-period=${this.#options.graceSeconds ?? 1}`;
    switch (kind) {
      case 'worker':
        return [...status, grace, '--engine=mocker', `--model-name=${MODEL}`, ...workerArgs];
      case 'router':
        return [...status, grace, '--router-grpc-port=-1', ...routerArgs];
      case 'frontend': {
        const placement = (this.#options.routers ?? 0) > 0 ? 'service' : 'in-process';
        const http = ['--http-host=127.0.0.1', `--http-port=${port}`];
        return [...http, `--router-placement=${placement}`, ...frontendArgs];
      }
    }
  }

  #planeArgs({ rpc, etcd, nats }: OwnPorts): readonly string[] {
    const local = [
      ...['--rpc-host=127.0.0.1', '--rpc-advertised-host=127.0.0.1', `--rpc-port=${rpc}`],
    ];
    if (this.#brokers === undefined)
      return [
        ...['--discovery-backend=file', `--file-discovery-dir=${this.folder}`],
        ...['--request-plane=grpc', '--event-plane=direct', ...local],
      ];
    return [
      ...['--discovery-backend=etcd', `--etcd-endpoints=http://127.0.0.1:${etcd}`],
      ...['--request-plane=grpc', '--event-plane=nats', `--nats-server=nats://127.0.0.1:${nats}`],
      ...local,
    ];
  }
}

async function startBrokers(): Promise<Brokers> {
  const [etcd, nats] = await Promise.all([etcdProvider(), natsProvider()]);
  return { etcd: await reached(etcd), nats: await reached(nats) };
}

async function reached(provider: BrokerProvider): Promise<ReachedBroker> {
  const broker = await provider.start();
  const way = await SeverableProxy.listen();
  way.pointAt(Number(broker.address.split(':').at(-1)));
  return { broker, way };
}
