/**
 * Makes the planes that a process's configuration names. Backends are loaded when they are chosen, so that a process
 * without etcd and NATS does not pay for their clients at start.
 */
import { DynamoError } from '@dynamo-ts/base';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { EventPlane } from './event-plane/event-plane.ts';
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
  const requestPlane = await createRequestPlane(backends.request, settings);
  const events = await createEventPlane(backends.event);
  return joinPlanes({ discovery, requestPlane, events });
}

async function createRequestPlane(
  backend: ReturnType<typeof parseRequestPlane>,
  settings: PlaneSettings,
): Promise<RequestPlane> {
  const logger = settings.logger.child({ target: 'runtime.request_plane' });
  switch (backend) {
    case 'local': {
      const { LocalRequestPlane } = await import('./request-plane/local/local-request-plane.ts');
      return new LocalRequestPlane();
    }
    case 'grpc': {
      const { GrpcRequestPlane } = await import('./request-plane/mux/grpc-request-plane.ts');
      return new GrpcRequestPlane({
        logger,
        host: settings.rpcHost,
        port: settings.rpcPort,
        advertisedHost: settings.rpcAdvertisedHost,
      });
    }
    case 'nats':
      throw notOffered('DYN_REQUEST_PLANE=nats');
  }
}

async function createEventPlane(backend: ReturnType<typeof parseEventPlane>): Promise<EventPlane> {
  if (backend !== 'local') throw notOffered(`DYN_EVENT_PLANE=${backend}`);
  const { LocalEventPlane } = await import('./event-plane/local/local-event-plane.ts');
  return new LocalEventPlane();
}

function notOffered(setting: string): DynamoError {
  return new DynamoError('runtime.not_implemented', `${setting} is not offered`);
}
