/**
 * The request plane between processes: one long-lived bidirectional gRPC stream per (client process, server process)
 * pair carries all requests between them. It listens from the first served endpoint on.
 */
import { DynamoError, instanceIdHex, raceAbort, throwIfAborted } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { Logger } from '@dynamo-ts/telemetry';

import { engineService } from '../../grpc/engine-service.ts';
import type { GrpcHost } from '../../event-plane/direct/grpc-host.ts';
import { createGrpcServer } from '../../grpc/grpc-server.ts';
import type { GrpcServer, GrpcService } from '../../grpc/grpc-server.ts';
import { ReaderTurns } from '../reader-turns.ts';
import type {
  OutgoingRequest,
  RawHandler,
  RawResponse,
  RequestPlane,
  RequestTarget,
  ServedTransport,
  ServeOptions,
} from '../request-plane.ts';
import { DEFAULT_CREDIT_BYTES } from '../request-plane.ts';
import { ServedHandlers } from '../served-handlers.ts';
import { MuxConnection } from './mux-connection.ts';
import { MuxServer } from './mux-server.ts';

/** A connection that carried nothing for this long is closed. */
const IDLE_CONNECTION_MS = 300_000;

/** Settings of a {@link GrpcRequestPlane}. */
export interface GrpcRequestPlaneOptions {
  readonly logger: Logger;
  /** Address to listen on, or `unix:/path`. @default '0.0.0.0' */
  readonly host?: string | undefined;
  /** 0 = any free port. @default 0 */
  readonly port?: number | undefined;
  /** `host` or `host:port` that others connect to. @default the address of this machine, or `host` when it is one */
  readonly advertisedHost?: string | undefined;
  /** @default 1 MiB */
  readonly creditBytes?: number | undefined;
  /** @default 5000 */
  readonly connectTimeoutMs?: number | undefined;
  /** How long a server may take to accept a request. @default 5000 */
  readonly acceptTimeoutMs?: number | undefined;
  /** Further services on the same listener. */
  readonly services?: readonly GrpcService[] | undefined;
}

/** gRPC mux request plane. */
export class GrpcRequestPlane implements RequestPlane {
  readonly backend = 'grpc';
  readonly #options: GrpcRequestPlaneOptions;
  readonly #handlers = new ServedHandlers();
  readonly #mux: MuxServer;
  readonly #services: GrpcService[];
  readonly #connections = new Map<string, MuxConnection>();
  readonly #turns = new ReaderTurns();
  #listener: Promise<GrpcServer> | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: GrpcRequestPlaneOptions) {
    this.#options = options;
    this.#services = [...(options.services ?? [])];
    this.#mux = new MuxServer({ handlers: this.#handlers, logger: options.logger });
  }

  async serve(options: ServeOptions, handler: RawHandler): Promise<ServedTransport> {
    this.#throwIfClosed();
    const served = this.#handlers.add(options, handler);
    let listener: GrpcServer;
    try {
      listener = await this.listen();
    } catch (error) {
      this.#handlers.remove(served);
      throw error;
    }
    return {
      transport: { kind: { $case: 'grpc', value: this.#advertised(listener) } },
      refuse: () => {
        served.refuse();
      },
      idle: () => served.idle(),
      close: async () => {
        this.#handlers.remove(served);
        await Promise.resolve();
      },
    };
  }

  /**
   * Puts a further service on this process's listener, which starts when either is first needed.
   *
   * @returns where it is reached; closing that does nothing, because the listener is the plane's
   * @throws `runtime.internal` when the listener has started already
   */
  host(service: GrpcService): GrpcHost {
    if (this.#listener !== undefined)
      throw new DynamoError('runtime.internal', 'services are added before the listener starts');
    this.#services.push(service);
    const close = (): Promise<void> => Promise.resolve();
    return {
      listen: async () => this.#advertised(await this.listen()),
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  /** Starts listening, if it does not yet. @throws `config.port_in_use` */
  async listen(): Promise<GrpcServer> {
    this.#listener ??= createGrpcServer({
      host: this.#options.host,
      port: this.#options.port,
      portFlag: 'rpc-port',
      services: [this.#mux.service(), engineService(this.#handlers), ...this.#services],
      reflection: true,
      health: true,
    });
    try {
      return await this.#listener;
    } catch (error) {
      this.#listener = undefined;
      throw error;
    }
  }

  async open(target: RequestTarget, request: OutgoingRequest): Promise<RawResponse> {
    const { killed } = request.context;
    throwIfAborted(killed);
    const connection = this.#connection(target);
    const session = connection.trySession() ?? (await raceAbort(connection.session(), killed));
    throwIfAborted(killed);
    return session.open(target, request);
  }

  async reachable(target: RequestTarget, options: { readonly signal: AbortSignal }): Promise<void> {
    await this.#connection(target).reachable(options.signal);
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #connection(target: RequestTarget): MuxConnection {
    this.#throwIfClosed();
    const address = addressOf(target);
    let connection = this.#connections.get(address);
    if (connection === undefined) {
      connection = new MuxConnection({
        address,
        creditBytes: this.#options.creditBytes ?? DEFAULT_CREDIT_BYTES,
        connectTimeoutMs: this.#options.connectTimeoutMs ?? 5000,
        acceptTimeoutMs: this.#options.acceptTimeoutMs ?? 5000,
        turns: this.#turns,
      });
      this.#connections.set(address, connection);
      this.#sweeper ??= setInterval(this.#closeIdle, IDLE_CONNECTION_MS / 5).unref();
    }
    return connection;
  }

  readonly #closeIdle = (): void => {
    for (const [address, connection] of this.#connections) {
      if (connection.idleMs < IDLE_CONNECTION_MS) continue;
      this.#connections.delete(address);
      connection.close();
    }
  };

  #advertised(listener: GrpcServer): string {
    const { advertisedHost } = this.#options;
    if (advertisedHost === undefined || listener.address.startsWith('unix:')) {
      return listener.address;
    }
    return /:\d+$/.test(advertisedHost) ? advertisedHost : `${advertisedHost}:${listener.port}`;
  }

  async #close(): Promise<void> {
    clearInterval(this.#sweeper);
    this.#turns.close();
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
    this.#handlers.close();
    const listener = await this.#listener?.catch(() => undefined);
    if (listener === undefined) return;
    await Promise.race([this.#mux.close(), delay(1000)]);
    await listener.close();
  }

  #throwIfClosed(): void {
    if (this.#closing !== undefined)
      throw new DynamoError('runtime.closed', 'the request plane is closed');
  }
}

function addressOf(target: RequestTarget): string {
  const kind = target.transport.kind;
  if (kind?.$case === 'grpc') return kind.value;
  const name = `instance ${instanceIdHex(target.instanceId)} of ${formatEndpointPath(target.endpoint)}`;
  throw new DynamoError(
    'transport.cannot_connect',
    `${name} is not on the grpc request plane but on ${kind?.$case ?? 'none'}; set DYN_REQUEST_PLANE alike everywhere`,
  );
}

async function delay(delayMs: number): Promise<void> {
  await new Promise<void>((resolve) => setTimeout(resolve, delayMs).unref());
}
