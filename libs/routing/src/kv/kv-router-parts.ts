/** What a `KvRouter` is made of. */
import { createInstanceId, systemClock } from '@dynamo-ts/base';
import type { Clock } from '@dynamo-ts/base';
import { PlacementCore } from '@dynamo-ts/kv';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { Client, DistributedRuntime } from '@dynamo-ts/runtime';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { RouterMode } from '../router-mode.ts';
import type {
  BusyRanks,
  LoadSharing,
  PlacementHost,
  RequestQueue,
  SessionBindings,
} from './collaborators.ts';
import type { DecisionFile } from './decisions/decision-file.ts';
import { IndexFeed } from './feed/index-feed.ts';
import { KV_ROUTER_DEFAULTS } from './kv-router-settings.ts';
import type { KvRouterSettings } from './kv-router-settings.ts';
import type { WorkerRoster } from './fleet/worker-roster.ts';

/** What collaborators of a `KvRouter` are made from. */
export interface CollaboratorSeat {
  readonly core: PlacementCore;
  readonly host: PlacementHost;
  /** What is known of the workers that there are. */
  readonly facts: Pick<WorkerRoster, 'get' | 'models'>;
  readonly path: EndpointPath;
  readonly blockSize: number;
  readonly settings: KvRouterSettings;
  /** A rank may have room that had none. */
  readonly capacityChanged: () => void;
}

/** Settings of a `KvRouter`. */
export interface KvRouterOptions {
  readonly runtime: DistributedRuntime;
  /** The endpoint that is routed for. */
  readonly path: EndpointPath;
  /** Tokens per block of its models. */
  readonly blockSize: number;
  /** How an instance is chosen when the request does not say. @default 'kv' */
  readonly mode?: RouterMode | undefined;
  /** @default {@link KV_ROUTER_DEFAULTS} */
  readonly settings?: Partial<KvRouterSettings> | undefined;
  readonly logger: Logger;
  readonly metrics?: MetricsRegistry | undefined;
  /** Where decisions are written when their requests have ended. @default nowhere */
  readonly decisionFile?: DecisionFile | undefined;
  /** @default requests are placed when they come */
  readonly createQueue?: ((seat: CollaboratorSeat) => RequestQueue) | undefined;
  /** @default sessions mean nothing */
  readonly createAffinity?: ((seat: CollaboratorSeat) => SessionBindings) | undefined;
  /** @default other routers are not told */
  readonly createSharing?: ((seat: CollaboratorSeat) => LoadSharing) | undefined;
  /** @default no rank is ever too busy */
  readonly createBusy?: ((seat: CollaboratorSeat) => BusyRanks) | undefined;
  readonly clock?: Clock | undefined;
  /** Start of the random source, so that the same calls give the same choices. @default random */
  readonly seed?: bigint | undefined;
}

/** What is opened before a router can be made. */
export interface KvRouterParts {
  readonly client: Client;
  readonly core: PlacementCore;
  /** Undefined when events are not used. */
  readonly feed: IndexFeed | undefined;
  readonly settings: KvRouterSettings;
  readonly clock: Clock;
}

/** Opens the parts; `onProgress` is called when more of the index is restored. */
export async function openParts(
  options: KvRouterOptions,
  onProgress: () => void,
): Promise<KvRouterParts> {
  const { runtime, path, logger, clock = systemClock } = options;
  const settings = { ...KV_ROUTER_DEFAULTS, ...options.settings };
  const core = new PlacementCore({
    ...settings,
    blockSize: options.blockSize,
    endpoint: formatEndpointPath(path),
    // Decisions are named after it, and a process has several routers.
    routerId: createInstanceId(),
    seed: options.seed ?? createInstanceId(),
  });
  const client = await runtime.endpoint(formatEndpointPath(path)).client();
  const feed = settings.useKvEvents
    ? await IndexFeed.start({ core, runtime, path, logger, clock, onProgress })
    : undefined;
  return { client, core, feed, settings, clock };
}

/** Idempotent. */
export async function closeParts({ client, core, feed }: KvRouterParts): Promise<void> {
  await feed?.close();
  await client.close();
  await core.close();
}
