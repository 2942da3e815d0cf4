/** The router as an indexer alone (RP 5.2): engines register their event sockets, callers ask what is cached where. */
import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { endpointOfRank } from '@dynamo-ts/engine-events';
import type { PromptQuery } from '@dynamo-ts/kv';
import { MOST_RANKS } from '@dynamo-ts/routing';

import { Fields } from '../http/fields.ts';
import { HttpProblem } from '../http/http-problem.ts';
import type { HttpReply, HttpRequest, HttpRoute } from '../http/http-server.ts';
import { dumpGroup } from './index-dump.ts';
import { matchesJson } from './overlap-json.ts';
import type { IndexPeers } from './index-peers.ts';
import type { WorkerGroup } from './worker-group.ts';
import { groupKey } from './worker-groups.ts';
import type { WorkerGroups } from './worker-groups.ts';

/** A rank's sockets as they were registered. */
interface Listener {
  readonly endpoint: string;
  readonly replayEndpoint: string | undefined;
}

interface Instance {
  readonly id: InstanceId;
  readonly group: WorkerGroup;
  readonly listeners: Map<number, Listener>;
}

const OK: HttpReply = { json: { status: 'ok' } };
const CREATED: HttpReply = { status: 201, json: { status: 'ok' } };

/** Answers the indexer's calls. */
export class IndexerApi {
  readonly #groups: WorkerGroups;
  readonly #peers: IndexPeers;
  readonly #instances = new Map<string, Instance>();

  constructor(groups: WorkerGroups, peers: IndexPeers) {
    this.#groups = groups;
    this.#peers = peers;
  }

  /** What is served. */
  routes(): readonly HttpRoute[] {
    return [
      { method: 'POST', path: '/register', answer: ({ body }) => this.register(body) },
      { method: 'POST', path: '/unregister', answer: ({ body }) => this.#unregister(body) },
      { method: 'GET', path: '/workers', answer: () => ({ json: this.#workers() }) },
      { method: 'POST', path: '/query', answer: ({ body }) => this.#query(body) },
      { method: 'POST', path: '/query_by_hash', answer: ({ body }) => this.#queryByHash(body) },
      { method: 'GET', path: '/dump', answer: async () => ({ json: await this.#dump() }) },
      { method: 'POST', path: '/register_peer', answer: (call) => this.#registerPeer(call) },
      { method: 'POST', path: '/deregister_peer', answer: (call) => this.#deregisterPeer(call) },
      { method: 'GET', path: '/peers', answer: () => ({ json: this.#peers.urls() }) },
      { method: 'GET', path: '/health', answer: () => ({ status: 200 }) },
    ];
  }

  /** Counts for metrics. */
  counts(): { readonly workers: number; readonly models: number; readonly listeners: number } {
    const instances = [...this.#instances.values()];
    return {
      workers: instances.length,
      models: this.#groups.all().length,
      listeners: instances.reduce((sum, { listeners }) => sum + listeners.size, 0),
    };
  }

  /** Listens to one rank of an engine. */
  async register(body: unknown): Promise<HttpReply> {
    const fields = new Fields(body);
    const endpoint = fields.text('endpoint');
    const id = asInstanceId(fields.u64('instance_id'));
    const dpRank = fields.rank('dp_rank');
    const key = groupKey(fields);
    const listener = { endpoint, replayEndpoint: fields.tryText('replay_endpoint') };
    checkAddress(endpoint);
    if (listener.replayEndpoint !== undefined) checkAddress(listener.replayEndpoint);
    const group = this.#groups.open(key, fields.u32('block_size'));
    const instance = this.#instances.get(nameOf(group, id)) ?? { id, group, listeners: new Map() };
    if (instance.listeners.has(dpRank))
      throw new HttpProblem(409, `instance ${id} dp_rank ${dpRank} already registered`);
    const others = [...instance.listeners.keys()];
    if (others.some((other) => Math.abs(other - dpRank) >= MOST_RANKS))
      throw new HttpProblem(422, `instance ${id} has ranks too far from dp_rank ${dpRank}`);
    this.#instances.set(nameOf(group, id), instance);
    instance.listeners.set(dpRank, listener);
    this.#announce(instance);
    try {
      await group.feedOf(id).listen({ dpRank, ...listener });
    } catch (error) {
      instance.listeners.delete(dpRank);
      await this.#changed(instance, dpRank);
      throw error;
    }
    return CREATED;
  }

  async #unregister(body: unknown): Promise<HttpReply> {
    const fields = new Fields(body);
    const id = asInstanceId(fields.u64('instance_id'));
    const group = this.#groups.get(groupKey(fields));
    const dpRank = fields.tryU32('dp_rank');
    const instance = this.#instances.get(nameOf(group, id));
    if (instance === undefined) throw new HttpProblem(404, `instance ${id} not found`);
    if (dpRank !== undefined && !instance.listeners.delete(dpRank))
      throw new HttpProblem(404, `instance ${id} dp_rank ${dpRank} not found`);
    if (dpRank === undefined) instance.listeners.clear();
    await this.#changed(instance, dpRank ?? 0);
    return OK;
  }

  /** A rank is not listened to any more; an instance without ranks is not there. */
  async #changed(instance: Instance, dpRank: number): Promise<void> {
    const { id, group, listeners } = instance;
    if (listeners.size === 0) {
      this.#instances.delete(nameOf(group, id));
      await group.removeWorker(id);
      await this.#groups.prune(group);
    } else {
      await group.feedOf(id).silence(dpRank);
      this.#announce(instance);
    }
  }

  #announce({ id, group, listeners }: Instance): void {
    const ranks = [...listeners.keys()];
    const dpStart = Math.min(...ranks);
    group.setWorker({
      workerId: id,
      dpStart,
      dpSize: Math.max(...ranks) - dpStart + 1,
      totalKvBlocks: 0,
      maxBatchedTokens: 0,
      kvEvents: true,
      taints: [],
    });
  }

  #workers(): unknown {
    return [...this.#instances.values()].map(({ id, group, listeners }) => ({
      instance_id: id,
      source: 'zmq',
      status: 'active',
      model_name: group.model,
      routing_group: group.routingGroup,
      block_size: group.blockSize,
      endpoints: Object.fromEntries([...listeners].map(([rank, { endpoint }]) => [rank, endpoint])),
      listeners: Object.fromEntries(
        [...listeners].map(([rank, { endpoint, replayEndpoint }]) => [
          rank,
          {
            endpoint,
            status: 'active',
            ...(replayEndpoint && { replay_endpoint: replayEndpoint }),
          },
        ]),
      ),
    }));
  }

  #query(body: unknown): HttpReply {
    const fields = new Fields(body);
    return this.#matches(fields, {
      tokenIds: fields.tokens('token_ids'),
      loraName: fields.tryText('lora_name') ?? fields.tryText('lora'),
      salt: fields.tryText('cache_salt') ?? fields.tryText('cache_namespace'),
    });
  }

  #queryByHash(body: unknown): HttpReply {
    const fields = new Fields(body);
    return this.#matches(fields, { blockHashes: fields.hashes('block_hashes') });
  }

  #matches(fields: Fields, prompt: PromptQuery): HttpReply {
    const group = this.#groups.get(groupKey(fields));
    return { json: matchesJson(group.core.overlap(prompt), group.blockSize) };
  }

  async #dump(): Promise<unknown> {
    const dumps: Record<string, unknown> = {};
    for (const group of this.#groups.all())
      dumps[`${group.model}:${group.routingGroup}`] = await dumpGroup(group);
    return dumps;
  }

  #registerPeer({ body }: HttpRequest): HttpReply {
    this.#peers.add(new Fields(body).text('url'));
    return CREATED;
  }

  #deregisterPeer({ body }: HttpRequest): HttpReply {
    if (this.#peers.remove(new Fields(body).text('url'))) return OK;
    throw new HttpProblem(404, 'peer not found');
  }
}

function nameOf({ model, routingGroup }: WorkerGroup, id: InstanceId): string {
  return `${id} ${routingGroup} ${model}`;
}

function checkAddress(endpoint: string): void {
  try {
    endpointOfRank(endpoint, 0);
  } catch {
    throw new HttpProblem(400, `${endpoint} is no event endpoint: expected tcp://host:port`);
  }
}
