/** One service of a fleet: a process that can be killed, frozen, stopped and started again under the same settings. */
import { fileURLToPath } from 'node:url';

import { NodeProgram, eventually } from '@dynamo-ts/testing';

/** Services that a fleet has. */
export type ServiceKind = 'frontend' | 'router' | 'worker';

/** Settings of a {@link Service}. */
export interface ServiceOptions {
  readonly kind: ServiceKind;
  readonly name: string;
  readonly args: readonly string[];
  /** Where it answers `/health` and `/metrics`; for a frontend its HTTP API too. */
  readonly url: string;
  /** Log level. @default 'error' */
  readonly log?: string | undefined;
  /** Port where others reach it; 0 when it takes any. */
  readonly rpc: number;
  /** Port of its way to etcd; 0 when there is none. */
  readonly etcd: number;
  /** Port of its way to NATS; 0 when there is none. */
  readonly nats: number;
}

/** Much more than it takes: beside other work a start may be slow. */
const START_TIMEOUT_MS = 180_000;
/** The program of each kind. */
export const MAINS: Readonly<Record<ServiceKind, string>> = {
  frontend: main('frontend'),
  router: main('router'),
  worker: main('worker-shim'),
};

/** A service. */
export class Service implements AsyncDisposable {
  readonly #options: ServiceOptions;
  #program: NodeProgram | undefined;

  constructor(options: ServiceOptions) {
    this.#options = options;
  }

  get kind(): ServiceKind {
    return this.#options.kind;
  }

  get name(): string {
    return this.#options.name;
  }

  /** Where it answers `/health` and `/metrics`; for a frontend its HTTP API too. */
  get url(): string {
    return this.#options.url;
  }

  /** Ports of its ways to brokers; its own only in a fleet that is cuttable. */
  get brokerPorts(): readonly number[] {
    const { etcd, nats } = this.#options;
    return [etcd, nats].filter((port) => port > 0);
  }

  /** Every port that it and others talk through, in a fleet that is cuttable. */
  get ports(): readonly number[] {
    return [this.#options.rpc, ...this.brokerPorts];
  }

  get pid(): number {
    return this.#program?.pid ?? 0;
  }

  /** Whether it has been started and not ended by the suite. */
  get runs(): boolean {
    return this.#program !== undefined;
  }

  /** What it has written since its last start. */
  get output(): string {
    const program = this.#program;
    return program === undefined ? '' : [...program.lines, program.stderr].join('\n');
  }

  /** Starts the process and does not wait for it. */
  launch(): void {
    const { kind, args, log = 'error' } = this.#options;
    this.#program = NodeProgram.start(MAINS[kind], { args, env: { DYN_LOG: log } });
  }

  /** Starts the process and waits until it says that it is ready. */
  async start(): Promise<void> {
    this.launch();
    await this.ready();
  }

  /** Waits until it answers at all. */
  async started(): Promise<void> {
    await eventually(async () => (await fetch(`${this.url}/live`)).status > 0, {
      timeoutMs: START_TIMEOUT_MS,
      what: `${this.name} answers`,
    });
  }

  /** Waits until it says that it is ready. */
  async ready(): Promise<void> {
    await eventually(async () => (await fetch(`${this.url}/health`)).status === 200, {
      timeoutMs: START_TIMEOUT_MS,
      what: `${this.name} is ready`,
    });
  }

  /** Ends it at once, as a crash or a lost machine would. */
  async kill(): Promise<void> {
    const program = this.#program;
    this.#program = undefined;
    await program?.kill();
  }

  /** Asks it to stop as an orchestrator does, and waits for its end. @returns the exit code, or the signal's name */
  async terminate(): Promise<number | string> {
    const program = this.#program;
    this.#program = undefined;
    program?.signal('SIGTERM');
    return (await program?.exited) ?? 0;
  }

  /** Freezes it: its connections stay open and nothing answers. */
  pause(): void {
    this.#program?.signal('SIGSTOP');
  }

  /** Ends {@link pause}. */
  resume(): void {
    this.#program?.signal('SIGCONT');
  }

  /** Its metrics page. */
  async metrics(): Promise<string> {
    return (await fetch(`${this.url}/metrics`)).text();
  }

  /** Sum over the series of a metric whose labels contain the given text. */
  async metric(name: string, labels = ''): Promise<number> {
    return sumOf(await this.metrics(), name, labels);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resume();
    await this.kill();
  }
}

/** Sum over the series of a metric whose labels contain the given text. */
export function sumOf(page: string, name: string, labels = ''): number {
  return page
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => line.includes(labels))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

function main(app: string): string {
  return fileURLToPath(new URL(`../../apps/${app}/src/main.ts`, import.meta.url));
}
