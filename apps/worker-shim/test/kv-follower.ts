/** Follows the KV events of a component's workers, as a router's index and as a naive model beside it. */
import { PLACEMENT_DEFAULTS, PlacementCore } from '@dynamo-ts/kv';
import type { PlacementCoreOptions, Recovery } from '@dynamo-ts/kv';
import { KvEventBatch, WorkerKvQueryRequest } from '@dynamo-ts/protocol';
import type { KvEvent } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { Client, DistributedRuntime } from '@dynamo-ts/runtime';

const SETTINGS: Omit<PlacementCoreOptions, 'blockSize'> = {
  ...PLACEMENT_DEFAULTS,
  endpoint: 'dynamo.backend.generate',
  routerId: 1n as PlacementCoreOptions['routerId'],
  seed: 1n,
};

/** Device, host, disk. */
const TIERS = 3;

/** Settings of a {@link KvFollower}. */
export interface KvFollowerOptions {
  readonly runtime: DistributedRuntime;
  readonly workerId: PlacementCoreOptions['routerId'];
  readonly blockSize: number;
  readonly ranks?: number;
}

/** What one worker says that it holds. */
export class KvFollower {
  /** Engine hash → local hash, by rank. */
  readonly model = new Map<number, Map<bigint, bigint>>();
  readonly epochs = new Set<bigint>();
  clears = 0;
  readonly core: PlacementCore;
  readonly #options: KvFollowerOptions;
  readonly #stop = new AbortController();
  readonly #lastIds = new Map<string, bigint>();
  #reading: Promise<void> = Promise.resolve();
  #queries: Client | undefined;

  private constructor(options: KvFollowerOptions) {
    this.#options = options;
    this.core = new PlacementCore({ ...SETTINGS, blockSize: options.blockSize });
  }

  /** Listens from now on; what was there before is asked for by {@link KvFollower.restore}. */
  static async start(options: KvFollowerOptions): Promise<KvFollower> {
    const follower = new KvFollower(options);
    const scope = { namespace: 'dynamo', component: 'backend' };
    const { runtime, ranks = 1, workerId } = options;
    const events = runtime.events.subscribe(
      { scope, topic: 'kv-events' },
      { signal: follower.#stop.signal },
    );
    await events.ready();
    const unknown = { totalKvBlocks: 0, maxBatchedTokens: 0, taints: [] };
    follower.core.setWorker({ workerId, dpStart: 0, dpSize: ranks, kvEvents: true, ...unknown });
    follower.#reading = (async () => {
      for await (const { payload } of events) await follower.#take(payload);
    })().catch((error: unknown) => {
      if (!follower.#stop.signal.aborted) throw error;
    });
    return follower;
  }

  /** Blocks of the naive model. */
  held(dpRank = 0): ReadonlyMap<bigint, bigint> {
    return this.model.get(dpRank) ?? new Map<bigint, bigint>();
  }

  /** Blocks of the router's index. */
  get indexed(): number {
    return this.core.health(performance.now()).blocks.reduce((sum, blocks) => sum + blocks, 0);
  }

  /** Asks the worker for all that it holds, as a router does that has just started. */
  async restore(dpRank = 0): Promise<void> {
    this.core.restoreNeeded(this.#options.workerId, dpRank);
    for (const due of this.core.recoveriesDue(performance.now())) await this.#recover(due);
  }

  /** How many blocks of a prompt the index finds on a rank's device. */
  overlap(blockHashes: BigUint64Array, dpRank = 0): number {
    const { blocks, dpRanks } = this.core.overlap({ blockHashes });
    return blocks[dpRanks.indexOf(dpRank) * TIERS] ?? 0;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#reading;
    await this.#queries?.close();
    await this.core.close();
  }

  async #take(payload: Uint8Array): Promise<void> {
    const batch = KvEventBatch.decode(payload);
    this.epochs.add(batch.epoch);
    for (const event of batch.events) this.#apply(event, batch.epoch);
    const { recoveries } = this.core.applyEvents(payload, performance.now());
    for (const recovery of recoveries) await this.#recover(recovery);
  }

  #apply({ data, dpRank, eventId }: KvEvent, epoch: bigint): void {
    const stream = `${epoch} ${dpRank}`;
    const expected = (this.#lastIds.get(stream) ?? eventId - 1n) + 1n;
    if (eventId !== expected) throw new Error(`event ${eventId} of ${stream} is not ${expected}`);
    this.#lastIds.set(stream, eventId);
    const held = this.model.get(dpRank) ?? new Map<bigint, bigint>();
    this.model.set(dpRank, held);
    if (data?.$case === 'stored') store(held, data.value);
    else if (data?.$case === 'removed') {
      for (const hash of words(data.value.blockHashesLe)) held.delete(hash);
    } else if (data?.$case === 'cleared') {
      this.clears += 1;
      held.clear();
    } else throw new Error('an event without data');
  }

  async #recover(recovery: Recovery): Promise<void> {
    const { runtime } = this.#options;
    this.#queries ??= await runtime.endpoint('dynamo.backend.worker_kv_indexer_query').client();
    const request = WorkerKvQueryRequest.encode(WorkerKvQueryRequest.create(recovery)).finish();
    const response = await this.#queries.openRaw(recovery.workerId, request, new Context());
    const items: Uint8Array[] = [];
    for await (const item of response) items.push(item);
    const { workerId, dpRank } = recovery;
    await this.core.finishRecovery(workerId, dpRank, items, performance.now());
  }
}

type Stored = Extract<KvEvent['data'], { $case: 'stored' }>['value'];

/** Nobody can reach a block whose parent is unknown. */
function store(
  held: Map<bigint, bigint>,
  { blockHashesLe, parentHash, tokensHashesLe }: Stored,
): void {
  if (parentHash !== undefined && !held.has(parentHash)) return;
  const local = words(tokensHashesLe);
  for (const [at, hash] of words(blockHashesLe).entries()) held.set(hash, local[at] ?? 0n);
}

function words(bytes: Uint8Array): BigUint64Array {
  return new BigUint64Array(Uint8Array.from(bytes).buffer);
}
