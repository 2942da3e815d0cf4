/** A gRPC listener: the one place where services are put on a port. */
import { DynamoError } from '@dynamo-ts/base';
import { Server, ServerCredentials, logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';

import { advertisedHost } from './advertised-host.ts';
import { HealthStatus } from './health-status.ts';
import { addReflection } from './reflection.ts';

/** A service to be put on a listener. */
export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** Settings of a {@link GrpcServer}. */
export interface GrpcServerOptions {
  /** Address to listen on, or `unix:/path`. @default '0.0.0.0' */
  readonly host?: string | undefined;
  /** 0 = any free port. @default 0 */
  readonly port?: number | undefined;
  /** Flag of the port, for the message when it is taken. */
  readonly portFlag?: string | undefined;
  readonly services: readonly GrpcService[];
  /** Whether `grpc.reflection` is served, for tools such as grpcurl. @default false */
  readonly reflection?: boolean | undefined;
  /** Whether `grpc.health.v1` is served. @default false */
  readonly health?: boolean | undefined;
}

/** A listening gRPC server. */
export class GrpcServer implements AsyncDisposable {
  /** `host:port` that others can connect to, or `unix:/path`. */
  readonly address: string;
  readonly port: number;
  /** What `grpc.health.v1` answers. */
  readonly health: HealthStatus;
  readonly #server: Server;
  #closing: Promise<void> | undefined;

  constructor(parts: {
    readonly server: Server;
    readonly health: HealthStatus;
    readonly address: string;
    readonly port: number;
  }) {
    this.#server = parts.server;
    this.health = parts.health;
    this.address = parts.address;
    this.port = parts.port;
  }

  /** Stops listening, lets calls finish for `graceMs`, then cuts them. Idempotent. */
  async close(graceMs = 1000): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(graceMs: number): Promise<void> {
    this.health.close();
    const cut = setTimeout(() => {
      this.#server.forceShutdown();
    }, graceMs);
    await new Promise<void>((resolve) => {
      this.#server.tryShutdown(() => {
        resolve();
      });
    });
    clearTimeout(cut);
  }
}

/**
 * Starts a gRPC server.
 *
 * @throws `config.port_in_use` when the address is taken
 */
export async function createGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  // It prints to stderr what it also throws.
  setLogVerbosity(logVerbosity.NONE);
  const server = new Server({
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    // Finds clients that vanished without closing, so that their requests are killed.
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 5_000,
  });
  for (const { definition, implementation } of options.services)
    server.addService(definition, implementation);
  const health = new HealthStatus();
  if (options.health === true) health.addTo(server);
  const served = options.services.map(({ definition }) => serviceName(definition));
  for (const name of served) health.set(name, true);
  if (options.reflection === true) await addReflection(server, served);
  const host = options.host ?? '0.0.0.0';
  const port = await bind(server, options);
  const address = host.startsWith('unix:') ? host : `${advertisedHost(host)}:${port}`;
  return new GrpcServer({ server, health, address, port });
}

/** `package.Service` of a definition, from the path of one of its methods. */
function serviceName(definition: ServiceDefinition): string {
  return Object.values(definition)[0]?.path.split('/')[1] ?? '';
}

async function bind(
  server: Server,
  { host = '0.0.0.0', port = 0, portFlag }: GrpcServerOptions,
): Promise<number> {
  const address = host.startsWith('unix:') ? host : `${bracketed(host)}:${port}`;
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(bindError(address, portFlag, error));
    });
  });
}

function bindError(address: string, flag: string | undefined, cause: Error): DynamoError {
  const taken = cause.message.includes('EADDRINUSE');
  return taken
    ? new DynamoError(
        'config.port_in_use',
        `could not bind to address: ${address} is in use; stop what listens there or choose another${flag === undefined ? '' : ` with --${flag}`}`,
        { cause },
      )
    : new DynamoError('config.invalid', `cannot listen on ${address}: ${cause.message}`, { cause });
}

function bracketed(host: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
}
