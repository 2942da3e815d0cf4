/**
 * Makes the planes that a process's configuration names. Backends are loaded when they are chosen, so that a process
 * without etcd and NATS does not pay for their clients at start.
 */
import { readFile } from 'node:fs/promises';

import { DynamoError } from '@dynamo-ts/base';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { Discovery } from './discovery/discovery.ts';
import type { GrpcHost } from './event-plane/direct/grpc-host.ts';
import type { EventPlane } from './event-plane/event-plane.ts';
import type { GrpcService } from './grpc/grpc-server.ts';
import type { NatsConnectionHolder } from './nats/nats-connection.ts';
import { parseDiscoveryBackend, parseEventPlane, parseRequestPlane } from './plane-settings.ts';
import { createDiscovery } from './planes-discovery.ts';
import { joinPlanes } from './planes.ts';
import type { Planes } from './planes.ts';
import type { RequestPlane } from './request-plane/request-plane.ts';

/** Settings of {@link createPlanes}, under the names that `COMMON_OPTIONS` gives them. */
export interface PlaneSettings {
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  /** `DYN_DISCOVERY_BACKEND`. @default 'etcd' */
  readonly discoveryBackend?: string | undefined;
  /** `DYN_REQUEST_PLANE`. @default 'grpc' */
  readonly requestPlane?: string | undefined;
  /** `DYN_EVENT_PLANE`. @default 'nats' */
  readonly eventPlane?: string | undefined;
  /** `DYN_FILE_KV`. @default a folder under the temporary directory */
  readonly fileDiscoveryDir?: string | undefined;
  /** Address that the gRPC listener binds. @default '0.0.0.0' */
  readonly rpcHost?: string | undefined;
  /** @default 0, any free port */
  readonly rpcPort?: number | undefined;
  /** Host under which others reach this process. */
  readonly rpcAdvertisedHost?: string | undefined;
  /** @default 5000 */
  readonly rpcConnectTimeoutMs?: number | undefined;
  /** How long a worker may take to accept a request. @default 5000 */
  readonly rpcRequestTimeoutMs?: number | undefined;
  /** Shortest time for which a faulty instance is left alone; 0 = never. @default 5000 */
  readonly inhibitedMs?: number | undefined;
  readonly etcdEndpoints?: readonly string[] | undefined;
  readonly etcdLeaseTtlMs?: number | undefined;
  readonly etcdUsername?: string | undefined;
  readonly etcdPassword?: string | undefined;
  readonly etcdCaPath?: string | undefined;
  readonly etcdClientCertPath?: string | undefined;
  readonly etcdClientKeyPath?: string | undefined;
  readonly natsServer?: readonly string[] | undefined;
  readonly natsUsername?: string | undefined;
  readonly natsPassword?: string | undefined;
  readonly natsToken?: string | undefined;
  readonly natsNkey?: string | undefined;
  readonly natsCredentialsFile?: string | undefined;
  readonly natsRequestTimeoutMs?: number | undefined;
}

/**
 * Makes the planes; what needs a broker connects in the background and tries until it succeeds.
 *
 * @throws `config.invalid` for an unknown backend, with a hint for those that only the reference has
 */
export async function createPlanes(settings: PlaneSettings): Promise<Planes> {
  // All three names are checked before anything is opened.
  const backends = {
    discovery: parseDiscoveryBackend(settings.discoveryBackend ?? 'etcd'),
    request: parseRequestPlane(settings.requestPlane ?? 'grpc'),
    event: parseEventPlane(settings.eventPlane ?? 'nats'),
  };
  const discovery = await createDiscovery({
    backend: backends.discovery,
    logger: settings.logger.child({ target: 'runtime.discovery' }),
    metrics: settings.metrics,
    fileRootPath: settings.fileDiscoveryDir,
    etcd: {
      endpoints: settings.etcdEndpoints,
      leaseTtlSeconds: Math.ceil((settings.etcdLeaseTtlMs ?? 10_000) / 1000),
      username: settings.etcdUsername,
      password: settings.etcdPassword,
      caPath: settings.etcdCaPath,
      clientCertificatePath: settings.etcdClientCertPath,
      clientKeyPath: settings.etcdClientKeyPath,
    },
  });
  const nats =
    backends.request === 'nats' || backends.event === 'nats'
      ? await startNats(settings)
      : undefined;
  const requestPlane = await createRequestPlane(backends.request, { settings, nats });
  const events = await createEventPlane(backends.event, {
    settings,
    nats,
    discovery,
    requestPlane,
  });
  const { inhibitedMs } = settings;
  return joinPlanes({ discovery, requestPlane, events, inhibitedMs }, async () => {
    await nats?.close();
  });
}

interface PlaneParts {
  readonly settings: PlaneSettings;
  readonly nats: NatsConnectionHolder | undefined;
}

async function createRequestPlane(
  backend: ReturnType<typeof parseRequestPlane>,
  { settings, nats }: PlaneParts,
): Promise<RequestPlane> {
  switch (backend) {
    case 'local': {
      const { LocalRequestPlane } = await import('./request-plane/local/local-request-plane.ts');
      return new LocalRequestPlane();
    }
    case 'grpc': {
      const { GrpcRequestPlane } = await import('./request-plane/mux/grpc-request-plane.ts');
      return new GrpcRequestPlane({
        logger: settings.logger.child({ target: 'runtime.request_plane' }),
        host: settings.rpcHost,
        port: settings.rpcPort,
        advertisedHost: settings.rpcAdvertisedHost,
        connectTimeoutMs: settings.rpcConnectTimeoutMs,
        acceptTimeoutMs: settings.rpcRequestTimeoutMs,
      });
    }
    case 'nats': {
      const { NatsRequestPlane } = await import('./request-plane/nats/nats-request-plane.ts');
      return new NatsRequestPlane({
        connect: (options) => required(nats).connection(options),
        connectTimeoutMs: settings.rpcConnectTimeoutMs,
        acceptTimeoutMs: settings.natsRequestTimeoutMs,
      });
    }
  }
}

async function createEventPlane(
  backend: ReturnType<typeof parseEventPlane>,
  parts: PlaneParts & { readonly discovery: Discovery; readonly requestPlane: RequestPlane },
): Promise<EventPlane> {
  const { metrics } = parts.settings;
  const logger = parts.settings.logger.child({ target: 'runtime.events' });
  switch (backend) {
    case 'local': {
      const { LocalEventPlane } = await import('./event-plane/local/local-event-plane.ts');
      return new LocalEventPlane({ logger, metrics });
    }
    case 'direct': {
      const { DirectEventPlane } = await import('./event-plane/direct/direct-event-plane.ts');
      const createHost = await eventHost(parts);
      return new DirectEventPlane({ discovery: parts.discovery, createHost, logger, metrics });
    }
    case 'nats': {
      const { NatsEventPlane } = await import('./event-plane/nats/nats-event-plane.ts');
      return new NatsEventPlane({ nats: required(parts.nats), logger, metrics });
    }
  }
}

/** Events share the request plane's listener when it has one. */
async function eventHost({
  settings,
  requestPlane,
}: {
  readonly settings: PlaneSettings;
  readonly requestPlane: RequestPlane;
}): Promise<(service: GrpcService) => GrpcHost> {
  const { GrpcRequestPlane } = await import('./request-plane/mux/grpc-request-plane.ts');
  if (requestPlane instanceof GrpcRequestPlane) return (service) => requestPlane.host(service);
  const { OwnGrpcHost } = await import('./event-plane/direct/grpc-host.ts');
  const { rpcHost: host, rpcAdvertisedHost: advertisedHost } = settings;
  return (service) => new OwnGrpcHost({ host, advertisedHost, service });
}

async function startNats(settings: PlaneSettings): Promise<NatsConnectionHolder> {
  const { connectNats } = await import('./nats/nats-connection.ts');
  return connectNats({
    logger: settings.logger,
    metrics: settings.metrics,
    settings: {
      servers: settings.natsServer ?? ['nats://localhost:4222'],
      username: settings.natsUsername,
      password: settings.natsPassword,
      token: settings.natsToken,
      nkeySeed: settings.natsNkey,
      credentials: await readCredentials(settings.natsCredentialsFile),
    },
  });
}

async function readCredentials(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const message = `NATS_AUTH_CREDENTIALS_FILE names ${path}, which cannot be read`;
    throw new DynamoError('config.invalid', message, { cause });
  }
}

function required(nats: NatsConnectionHolder | undefined): NatsConnectionHolder {
  if (nats === undefined) throw new DynamoError('runtime.internal', 'NATS was not started');
  return nats;
}
