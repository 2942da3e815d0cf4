/** The router as a selection service (RP 5.3): engines, their index and load, and the choice, over HTTP. */
import { randomUUID } from 'node:crypto';

import { DynamoError, asInstanceId, tryInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { computeBlockHashForSeq } from '@dynamo-ts/kv';
import type { PromptQuery, RankLoads, SelectOverrides, Selected } from '@dynamo-ts/kv';
import { overlapMessages, overlapScores, overridesOf } from '@dynamo-ts/routing';

import { Fields } from '../http/fields.ts';
import { HttpProblem } from '../http/http-problem.ts';
import type { HttpReply, HttpRequest, HttpRoute } from '../http/http-server.ts';
import { overlapJson } from './overlap-json.ts';
import { SelectionWorkers } from './selection-workers.ts';
import type { WorkerGroup } from './worker-group.ts';
import { groupKey } from './worker-groups.ts';
import type { WorkerGroups } from './worker-groups.ts';

const OK: HttpReply = { json: { status: 'ok' } };
const NO_WORKER = 'no schedulable workers';

/** A prompt, its length, and whose engines are meant. */
interface Prompt {
  readonly group: WorkerGroup;
  readonly query: PromptQuery;
  readonly promptTokens: number;
}

/** Answers the selection service's calls. */
export class SelectionApi {
  readonly #groups: WorkerGroups;
  readonly #workers: SelectionWorkers;
  /** Where each reservation is. */
  readonly #reservations = new Map<
    string,
    { readonly group: WorkerGroup; readonly sinceMs: number }
  >();
  readonly #expiryMs: number;

  constructor(groups: WorkerGroups, expiryMs: number) {
    this.#groups = groups;
    this.#expiryMs = expiryMs;
    this.#workers = new SelectionWorkers(groups);
  }

  /** What is served. */
  routes(): readonly HttpRoute[] {
    const reservation = '/reservations/:id';
    return [
      { method: 'GET', path: '/health', answer: () => OK },
      { method: 'GET', path: '/ready', answer: () => this.#ready() },
      { method: 'GET', path: '/workers', answer: () => ({ json: this.#workers.all() }) },
      { method: 'POST', path: '/workers', answer: ({ body }) => this.#put(body) },
      { method: 'PATCH', path: '/workers/:id', answer: (call) => this.#patch(call) },
      { method: 'DELETE', path: '/workers/:id', answer: (call) => this.#remove(call) },
      { method: 'POST', path: '/select', answer: ({ body }) => this.#select(body) },
      { method: 'POST', path: '/select_and_reserve', answer: ({ body }) => this.#reserve(body) },
      { method: 'POST', path: '/reservations', answer: ({ body }) => this.#book(body) },
      {
        method: 'POST',
        path: `${reservation}/prefill_complete`,
        answer: (call) => this.#about(call, (group, id) => group.core.prefillDone(id, now())),
      },
      {
        method: 'POST',
        path: `${reservation}/output_block`,
        answer: (call) => this.#about(call, (group, id) => group.core.outputBlock(id, now())),
      },
      { method: 'DELETE', path: reservation, answer: (call) => this.#free(call) },
      { method: 'GET', path: '/loads', answer: () => ({ json: this.#loads() }) },
      { method: 'POST', path: '/potential_loads', answer: ({ body }) => this.#potential(body) },
      { method: 'POST', path: '/overlap_scores', answer: ({ body }) => this.#overlaps(body) },
    ];
  }

  #ready(): HttpReply {
    const { schedulable } = this.#workers;
    const workers = this.#workers.all();
    const json = { ready: schedulable > 0, schedulable_workers: schedulable, workers };
    return { status: schedulable > 0 ? 200 : 503, json };
  }

  async #put(body: unknown): Promise<HttpReply> {
    return { status: 201, json: await this.#workers.put(body) };
  }

  async #patch({ params, body }: HttpRequest): Promise<HttpReply> {
    return { json: await this.#workers.patch(workerIdOf(params), body) };
  }

  async #remove({ params }: HttpRequest): Promise<HttpReply> {
    return { json: await this.#workers.remove(workerIdOf(params)) };
  }

  #select(body: unknown): HttpReply {
    const fields = new Fields(body);
    const prompt = this.#prompt(fields);
    return { json: this.#choiceJson(prompt, choose(prompt, fields)) };
  }

  #reserve(body: unknown): HttpReply {
    const fields = new Fields(body);
    const prompt = this.#prompt(fields);
    const id = this.#newId(fields);
    const selected = choose(prompt, fields, id);
    this.#reservations.set(id, { group: prompt.group, sinceMs: now() });
    return {
      json: {
        selection_id: id,
        isl_tokens: prompt.promptTokens,
        track_prefill_tokens: true,
        ...this.#choiceJson(prompt, selected),
      },
    };
  }

  /** Books a worker that the caller has chosen. */
  #book(body: unknown): HttpReply {
    const fields = new Fields(body);
    const { group, query, promptTokens } = this.#prompt(fields);
    const id = this.#newId(fields);
    const workerId = asInstanceId(fields.u64('worker_id'));
    const dpRank = fields.u32('dp_rank', 0);
    if (!group.hasRank(workerId, dpRank))
      throw new HttpProblem(404, `worker ${workerId} dp_rank ${dpRank} not found`);
    const held = overlapJson(group.core.overlap(query), workerId, group.blockSize).gpu;
    group.core.addRemote({
      id,
      workerId,
      dpRank,
      blockHashes: hashesOf(query, group.blockSize),
      prefillTokens: fields.tryU32('effective_prefill_tokens') ?? Math.max(promptTokens - held, 0),
      nowMs: now(),
      predict: false,
    });
    this.#reservations.set(id, { group, sinceMs: now() });
    return {
      status: 201,
      json: { selection_id: id, ...this.#workerJson(group, workerId, dpRank) },
    };
  }

  #about(
    { params: { id = '' } }: HttpRequest,
    action: (group: WorkerGroup, id: string) => unknown,
  ): HttpReply {
    action(this.#reservation(id), id);
    return OK;
  }

  #free({ params: { id = '' } }: HttpRequest): HttpReply {
    const group = this.#reservation(id);
    this.#reservations.delete(id);
    group.core.free(id);
    return OK;
  }

  #loads(): unknown {
    return this.#groups.all().map((group) => ({
      model_name: group.model,
      routing_group: group.routingGroup,
      loads: loadsJson(group.core.loads()),
      pending_count: 0,
      pending_isl_tokens: 0,
    }));
  }

  #potential(body: unknown): HttpReply {
    const { group, query, promptTokens } = this.#prompt(new Fields(body));
    return { json: loadsJson(group.core.potentialLoads({ ...query, promptTokens })) };
  }

  #overlaps(body: unknown): HttpReply {
    const { group, query, promptTokens } = this.#prompt(new Fields(body));
    const overlaps = overlapMessages(group.core.overlap(query));
    return { json: overlapScores(overlaps, group.blockSize, promptTokens) };
  }

  #prompt(fields: Fields): Prompt {
    const key = groupKey(fields, 'default');
    const found = this.#groups
      .all()
      .find((group) => group.model === key.model && group.routingGroup === key.routingGroup);
    if (found === undefined)
      throw new HttpProblem(
        503,
        this.#workers.schedulable === 0
          ? `${NO_WORKER} are available`
          : `${NO_WORKER} for model=${key.model} routing_group=${key.routingGroup}`,
      );
    if (!fields.has('token_ids') && !fields.has('block_hashes'))
      throw new HttpProblem(400, 'block_hashes is required without token_ids');
    const query: PromptQuery = fields.has('block_hashes')
      ? { blockHashes: fields.hashes('block_hashes') }
      : {
          tokenIds: fields.tokens('token_ids'),
          loraName: fields.tryText('lora_name'),
          salt: fields.tryText('cache_salt') ?? fields.tryText('cache_namespace'),
        };
    const counted = query.tokenIds?.length ?? (query.blockHashes?.length ?? 0) * found.blockSize;
    return { group: found, query, promptTokens: fields.tryU32('isl_tokens') ?? counted };
  }

  #newId(fields: Fields): string {
    const id = fields.tryText('selection_id') ?? randomUUID();
    this.#dropExpired();
    if (this.#reservations.has(id))
      throw new HttpProblem(409, `selection ${id} is already reserved or being reserved`);
    return id;
  }

  #reservation(id: string): WorkerGroup {
    const found = this.#reservations.get(id);
    if (found !== undefined) return found.group;
    throw new HttpProblem(404, `reservation ${id} not found`);
  }

  #dropExpired(): void {
    const oldestMs = now() - this.#expiryMs;
    for (const [id, { sinceMs, group }] of this.#reservations) {
      if (sinceMs > oldestMs) return;
      this.#reservations.delete(id);
      if (this.#groups.all().includes(group)) group.core.free(id);
    }
  }

  #workerJson(group: WorkerGroup, workerId: InstanceId, dpRank: number): Record<string, unknown> {
    return {
      model_name: group.model,
      routing_group: group.routingGroup,
      worker_id: workerId,
      dp_rank: dpRank,
      endpoint: this.#workers.endpointOf(workerId),
    };
  }

  #choiceJson({ group, query }: Prompt, selected: Selected): Record<string, unknown> {
    const { workerId, dpRank, prefillTokens, potentialDecodeBlocks } = selected;
    return {
      ...this.#workerJson(group, workerId, dpRank),
      block_size: group.blockSize,
      overlap: overlapJson(group.core.overlap(query), workerId, group.blockSize),
      effective_prefill_tokens: prefillTokens,
      potential_decode_blocks: Math.round(potentialDecodeBlocks),
    };
  }
}

/** Chooses, and books under `id` if there is one. @throws HttpProblem 503, 400 */
function choose({ group, query, promptTokens }: Prompt, fields: Fields, id?: string): Selected {
  const override = overridesOf(fields.all()['router_config_override']);
  const selected = group.core.select({
    ...query,
    requestId: id ?? '',
    mode: 'kv',
    promptTokens,
    nowMs: now(),
    unixMs: Date.now(),
    book: id !== undefined,
    record: false,
    overrides: override && asSelectOverrides(override),
    allowedWorkers: fields.has('allowed_worker_ids')
      ? fields.hashes('allowed_worker_ids')
      : undefined,
    expectedOutputTokens: fields.tryU32('expected_output_tokens'),
  });
  if (selected.failure === undefined) return selected;
  if (selected.failure === 'invalid_override')
    throw new DynamoError('request.invalid', selected.message ?? 'a weight cannot be');
  throw new HttpProblem(503, selected.message ?? `${NO_WORKER} are available`);
}

function asSelectOverrides(override: NonNullable<ReturnType<typeof overridesOf>>): SelectOverrides {
  const { routerTemperature: temperature, ...rest } = override;
  return { ...rest, temperature };
}

function hashesOf(query: PromptQuery, blockSize: number): BigUint64Array {
  const { blockHashes, tokenIds, loraName, salt } = query;
  if (blockHashes !== undefined) return blockHashes;
  const options = { loraName, cacheNamespace: salt };
  return computeBlockHashForSeq(tokenIds ?? new Uint32Array(), blockSize, options);
}

function loadsJson(loads: RankLoads): readonly unknown[] {
  return Array.from(loads.workerIds, (workerId, at) => ({
    worker_id: workerId,
    dp_rank: loads.dpRanks[at] ?? 0,
    potential_prefill_tokens: Math.round(loads.prefillTokens[at] ?? 0),
    potential_decode_blocks: Math.round(loads.decodeBlocks[at] ?? 0),
    active_requests: loads.activeRequests[at] ?? 0,
  }));
}

function workerIdOf({ id = '' }: Readonly<Record<string, string>>): InstanceId {
  const workerId = tryInstanceId(id);
  if (workerId !== undefined) return workerId;
  throw new HttpProblem(400, `${id} is no worker id`);
}

function now(): number {
  return performance.now();
}
