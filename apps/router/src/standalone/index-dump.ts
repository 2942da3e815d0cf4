/** The content of an index as router events in JSON (RP 2.1), which peers exchange through `/dump`. */
import { asInstanceId } from '@dynamo-ts/base';
import { QueryIndexResponse, hashesFromBytes } from '@dynamo-ts/protocol';
import type { IndexRun } from '@dynamo-ts/protocol';

import { Fields } from '../http/fields.ts';
import type { KnownBlocks } from '../engines/engine-feed.ts';
import type { WorkerGroup } from './worker-group.ts';

/** One group's part of a dump. */
export interface GroupDump {
  readonly block_size: number;
  readonly events: readonly unknown[];
}

const TIER_NAMES: Readonly<Record<string, string>> = { host: 'host_pinned' };

/** Everything a group's index holds; parents before their children. */
export async function dumpGroup(group: WorkerGroup): Promise<GroupDump> {
  const { ranks } = QueryIndexResponse.decode(await group.core.readIndex());
  const events = ranks.flatMap(({ workerId, dpRank, runs }) =>
    runs.map((run) => ({
      worker_id: workerId,
      storage_tier: TIER_NAMES[run.tier] ?? run.tier,
      residency_domain: 'worker',
      event: { event_id: 0, data: { stored: storedOf(run) }, dp_rank: dpRank },
    })),
  );
  return { block_size: group.blockSize, events };
}

/** Puts a peer's dump into a group; engines that the group does not know are left out. @returns events taken */
export function restoreGroup(group: WorkerGroup, dump: Fields): number {
  const events = dump.all()['events'];
  if (!Array.isArray(events)) return 0;
  let taken = 0;
  for (const event of events) {
    const known = parseEvent(new Fields(event));
    if (known === undefined || !group.hasRank(known.workerId, known.dpRank)) continue;
    group.feedOf(known.workerId).store(known.dpRank, known.blocks);
    taken += 1;
  }
  return taken;
}

function storedOf(run: IndexRun): unknown {
  const tokensHashes = hashesFromBytes(run.tokensHashesLe);
  const blocks = Array.from(hashesFromBytes(run.blockHashesLe), (hash, at) => ({
    block_hash: hash,
    tokens_hash: tokensHashes[at] ?? 0n,
    mm_extra_info: null,
  }));
  return { parent_hash: run.parentHash ?? null, start_position: null, blocks };
}

interface KnownEvent {
  readonly workerId: ReturnType<typeof asInstanceId>;
  readonly dpRank: number;
  readonly blocks: KnownBlocks;
}

/** Undefined for events that store nothing, or nothing on the worker. */
function parseEvent(event: Fields): KnownEvent | undefined {
  const inner = event.tryObject('event');
  const stored = inner?.tryObject('data')?.tryObject('stored');
  const tier = tierOf(event.tryText('storage_tier') ?? 'device');
  if (inner === undefined || stored === undefined || tier === undefined) return undefined;
  const list = stored.all()['blocks'];
  const blocks = (Array.isArray(list) ? list : []).map((block) => new Fields(block));
  return {
    workerId: asInstanceId(event.u64('worker_id')),
    dpRank: inner.u32('dp_rank', 0),
    blocks: {
      tier,
      parent: stored.has('parent_hash') ? stored.hash('parent_hash') : undefined,
      blockHashes: BigUint64Array.from(blocks, (block) => block.hash('block_hash')),
      tokensHashes: BigUint64Array.from(blocks, (block) => block.hash('tokens_hash')),
    },
  };
}

function tierOf(name: string): KnownBlocks['tier'] | undefined {
  if (name === 'device' || name === 'disk') return name;
  return name === 'host_pinned' ? 'host' : undefined;
}
