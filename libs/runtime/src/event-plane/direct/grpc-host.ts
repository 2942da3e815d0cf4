import { createGrpcServer } from '../../grpc/grpc-server.ts';
import type { GrpcServer, GrpcService } from '../../grpc/grpc-server.ts';

/** Where the event service of a process is reached. */
export interface GrpcHost extends AsyncDisposable {
  /** Starts serving, if it does not yet. @returns `host:port` that others can connect to */
  listen(): Promise<string>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Settings of an {@link OwnGrpcHost}. */
export interface OwnGrpcHostOptions {
  /** Address to listen on. @default '0.0.0.0' */
  readonly host?: string | undefined;
  /** Host that others connect to. @default the one listened on, or the address of this machine */
  readonly advertisedHost?: string | undefined;
  readonly service: GrpcService;
}

/** A listener for the event service alone, for processes whose request plane has none. */
export class OwnGrpcHost implements GrpcHost {
  readonly #options: OwnGrpcHostOptions;
  #server: Promise<GrpcServer> | undefined;

  constructor(options: OwnGrpcHostOptions) {
    this.#options = options;
  }

  async listen(): Promise<string> {
    const { host, advertisedHost, service } = this.#options;
    this.#server ??= createGrpcServer({ host, services: [service] });
    const { address, port } = await this.#server;
    return advertisedHost === undefined ? address : `${advertisedHost}:${port}`;
  }

  async close(): Promise<void> {
    const server = await this.#server;
    await server?.close(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
