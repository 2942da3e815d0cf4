/** The router as a slot tracker alone (RP 5.4): callers choose workers themselves and tell what runs where. */
import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';

import { Fields } from '../http/fields.ts';
import { HttpProblem } from '../http/http-problem.ts';
import type { HttpReply, HttpRoute } from '../http/http-server.ts';
import type { WorkerGroup } from './worker-group.ts';
import { groupKey } from './worker-groups.ts';
import type { GroupKey } from './worker-group.ts';
import type { WorkerGroups } from './worker-groups.ts';

interface Slot {
  readonly workerId: InstanceId;
  readonly dpRank: number;
  readonly sinceMs: number;
}

const OK: HttpReply = { json: { status: 'ok' } };
const CREATED: HttpReply = { status: 201, json: { status: 'ok' } };

/** Answers the slot tracker's calls. */
export class SlotTrackerApi {
  readonly #groups: WorkerGroups;
  readonly #expiryMs: number;
  /** Requests of each group, oldest first. */
  readonly #slots = new Map<WorkerGroup, Map<string, Slot>>();

  constructor(groups: WorkerGroups, expiryMs: number) {
    this.#groups = groups;
    this.#expiryMs = expiryMs;
  }

  /** What is served. */
  routes(): readonly HttpRoute[] {
    return [
      { method: 'POST', path: '/register', answer: ({ body }) => this.#register(body) },
      { method: 'POST', path: '/unregister', answer: ({ body }) => this.#unregister(body) },
      { method: 'GET', path: '/workers', answer: () => ({ json: this.#workers() }) },
      { method: 'POST', path: '/add', answer: ({ body }) => this.#add(body) },
      { method: 'POST', path: '/prefill_complete', answer: ({ body }) => this.#prefillDone(body) },
      { method: 'POST', path: '/free', answer: ({ body }) => this.#free(body) },
      { method: 'GET', path: '/loads', answer: ({ query }) => this.#loads(query) },
      { method: 'POST', path: '/potential_loads', answer: ({ body }) => this.#potential(body) },
      { method: 'GET', path: '/health', answer: () => ({ status: 200 }) },
    ];
  }

  #register(body: unknown): HttpReply {
    const fields = new Fields(body);
    const workerId = asInstanceId(fields.u64('worker_id'));
    const key = groupKey(fields);
    fields.u32('dp_start');
    fields.u32('dp_size');
    const ranks = fields.ranks('dp_start', 'dp_size');
    const limits = {
      totalKvBlocks: fields.u32('total_kv_blocks', 0),
      maxBatchedTokens: fields.u32('max_num_batched_tokens', 0),
    };
    const group = this.#groups.open(key, fields.u32('block_size'));
    if (group.workers().some((worker) => worker.workerId === workerId)) {
      throw new HttpProblem(409, `worker ${workerId} already registered for ${labelOf(key)}`);
    }
    group.setWorker({
      workerId,
      ...ranks,
      ...limits,
      kvEvents: false,
      taints: [],
    });
    return CREATED;
  }

  async #unregister(body: unknown): Promise<HttpReply> {
    const fields = new Fields(body);
    const workerId = asInstanceId(fields.u64('worker_id'));
    const key = groupKey(fields);
    const group = this.#groups.get(key);
    if (!(await group.removeWorker(workerId)))
      throw new HttpProblem(404, `worker ${workerId} not found for ${labelOf(key)}`);
    const slots = this.#slotsOf(group);
    for (const [requestId, slot] of slots) if (slot.workerId === workerId) slots.delete(requestId);
    if (group.workers().length === 0) this.#slots.delete(group);
    await this.#groups.prune(group);
    return OK;
  }

  #workers(): unknown {
    return this.#groups.all().flatMap((group) =>
      group.workers().map(({ workerId, dpStart, dpSize }) => ({
        worker_id: workerId,
        model_name: group.model,
        routing_group: group.routingGroup,
        block_size: group.blockSize,
        dp_start: dpStart,
        dp_size: dpSize,
      })),
    );
  }

  #add(body: unknown): HttpReply {
    const fields = new Fields(body);
    const requestId = fields.text('request_id');
    const workerId = asInstanceId(fields.u64('worker_id'));
    const dpRank = fields.u32('dp_rank');
    const group = this.#groups.get(groupKey(fields));
    const slots = this.#slotsOf(group);
    const known = slots.get(requestId);
    if (known !== undefined)
      throw new HttpProblem(
        409,
        `Request ${requestId} already exists (assigned to worker ${known.workerId} dp_rank ${known.dpRank})`,
      );
    if (!group.hasRank(workerId, dpRank))
      throw new HttpProblem(404, `Worker ${workerId} dp_rank ${dpRank} not found`);
    const nowMs = performance.now();
    group.core.addRemote({
      id: requestId,
      workerId,
      dpRank,
      blockHashes: fields.hashes('sequence_hashes'),
      prefillTokens: fields.u32('new_isl_tokens', 0),
      nowMs,
      predict: false,
    });
    slots.set(requestId, { workerId, dpRank, sinceMs: nowMs });
    return CREATED;
  }

  #prefillDone(body: unknown): HttpReply {
    const fields = new Fields(body);
    const requestId = fields.text('request_id');
    const group = this.#groups.get(groupKey(fields));
    if (!this.#slotsOf(group).has(requestId))
      throw new HttpProblem(404, `Request ${requestId} not found`);
    group.core.prefillDone(requestId, performance.now());
    return OK;
  }

  #free(body: unknown): HttpReply {
    const fields = new Fields(body);
    const requestId = fields.text('request_id');
    const group = this.#groups.get(groupKey(fields));
    if (this.#slotsOf(group).delete(requestId)) group.core.free(requestId);
    return OK;
  }

  #loads(query: URLSearchParams): HttpReply {
    const [model, routingGroup] = [query.get('model_name'), query.get('routing_group')];
    const groups = this.#groups
      .all()
      .filter((group) => model === null || group.model === model)
      .filter((group) => routingGroup === null || group.routingGroup === routingGroup);
    return { json: groups.flatMap(loadsOf) };
  }

  #potential(body: unknown): HttpReply {
    const fields = new Fields(body);
    const group = this.#groups.get(groupKey(fields));
    const loads = group.core.potentialLoads({
      blockHashes: fields.hashes('sequence_hashes'),
      promptTokens: fields.u32('new_isl_tokens', 0),
    });
    return {
      json: Array.from(loads.workerIds, (workerId, at) => ({
        worker_id: workerId,
        dp_rank: loads.dpRanks[at] ?? 0,
        potential_prefill_tokens: Math.round(loads.prefillTokens[at] ?? 0),
        potential_decode_blocks: Math.round(loads.decodeBlocks[at] ?? 0),
        active_requests: loads.activeRequests[at] ?? 0,
      })),
    };
  }

  /** A group's requests, without those that nobody freed in time. */
  #slotsOf(group: WorkerGroup): Map<string, Slot> {
    let slots = this.#slots.get(group);
    if (slots === undefined) {
      slots = new Map();
      this.#slots.set(group, slots);
    }
    const oldestMs = performance.now() - this.#expiryMs;
    for (const [requestId, { sinceMs }] of slots) {
      if (sinceMs > oldestMs) break;
      slots.delete(requestId);
      group.core.free(requestId);
    }
    return slots;
  }
}

function loadsOf(group: WorkerGroup): readonly unknown[] {
  const loads = group.core.loads();
  return Array.from(loads.workerIds, (workerId, at) => ({
    model_name: group.model,
    routing_group: group.routingGroup,
    worker_id: workerId,
    dp_rank: loads.dpRanks[at] ?? 0,
    active_prefill_tokens: Math.round(loads.prefillTokens[at] ?? 0),
    active_decode_blocks: Math.round(loads.decodeBlocks[at] ?? 0),
  }));
}

function labelOf({ model, routingGroup }: GroupKey): string {
  return `model=${model} routing_group=${routingGroup}`;
}
