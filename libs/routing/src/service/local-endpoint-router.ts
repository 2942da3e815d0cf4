import type { Client } from '@dynamo-ts/runtime';

import { LocalRouter } from '../local-router.ts';
import type { LocalRouterOptions } from '../local-router.ts';
import type { Decision } from '@dynamo-ts/protocol';
import type {
  EndpointRouter,
  IndexHealth,
  QueueStats,
  RankLoads,
  RankOverlaps,
} from './endpoint-router.ts';

const NONE = {
  workerIds: new BigUint64Array(),
  dpRanks: new Uint32Array(),
  prefillTokens: new Float64Array(),
  decodeBlocks: new Float64Array(),
  activeRequests: new Uint32Array(),
  blocks: new Uint32Array(),
};

/** Placement by load alone: an endpoint router that keeps no index. */
export class LocalEndpointRouter extends LocalRouter implements EndpointRouter {
  readonly blockSize: undefined;
  readonly restored: { readonly done: number; readonly total: number } = { done: 0, total: 0 };
  readonly #client: Client;

  constructor(options: Omit<LocalRouterOptions, 'instances'> & { readonly client: Client }) {
    super({ ...options, instances: options.client });
    this.#client = options.client;
  }

  overlap(): RankOverlaps {
    return NONE;
  }

  potentialLoads(): RankLoads {
    return NONE;
  }

  queueStats(): QueueStats {
    return { pendingCount: 0, pendingIslTokens: 0 };
  }

  indexHealth(): IndexHealth {
    return { ranks: [], blocks: 0n, bytes: 0n };
  }

  dumpIndex(): Uint8Array {
    return new Uint8Array();
  }

  decision(): Decision | undefined {
    return undefined;
  }

  recentDecisions(): readonly Decision[] {
    return [];
  }

  onDecision(): () => void {
    return () => undefined;
  }

  addWorker(): void {
    return undefined;
  }

  removeWorker(): void {
    return undefined;
  }

  applyEvents(): void {
    return undefined;
  }

  override async close(): Promise<void> {
    await super.close();
    await this.#client.close();
  }
}
