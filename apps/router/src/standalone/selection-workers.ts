/** Engines of a selection service as they were described, complete or not, and their groups once they are complete. */
import { asInstanceId } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';

import { Fields } from '../http/fields.ts';
import type { JsonObject } from '../http/fields.ts';
import { HttpProblem } from '../http/http-problem.ts';
import type { WorkerGroup } from './worker-group.ts';
import { groupKey } from './worker-groups.ts';
import type { WorkerGroups } from './worker-groups.ts';

/** An engine that was described. */
interface SelectionWorker {
  readonly id: InstanceId;
  readonly body: JsonObject;
  /** Undefined while something is missing. */
  readonly group: WorkerGroup | undefined;
}

const DEFAULT_MODEL = 'default';

/** The engines of a selection service. */
export class SelectionWorkers {
  readonly #groups: WorkerGroups;
  readonly #workers = new Map<InstanceId, SelectionWorker>();

  constructor(groups: WorkerGroups) {
    this.#groups = groups;
  }

  /** Adds an engine or replaces it. @returns its description */
  async put(body: unknown): Promise<JsonObject> {
    const fields = new Fields(body);
    const id = asInstanceId(fields.u64('worker_id'));
    const missing = reasonsOf(fields);
    // Also checks the types of what is there, before anything changes.
    const wanted = missing.length > 0 ? undefined : wantedOf(fields);
    const known = this.#workers.get(id);
    if (known !== undefined) await this.#leave(known);
    const group = wanted && this.#groups.open(groupKey(fields, DEFAULT_MODEL), wanted.blockSize);
    const worker = { id, body: fields.all(), group };
    this.#workers.set(id, worker);
    if (wanted !== undefined) await this.#listen(worker, wanted);
    return this.#describe(id);
  }

  /** Changes fields of an engine. @throws HttpProblem 404 */
  async patch(id: InstanceId, body: unknown): Promise<JsonObject> {
    const { body: known } = this.#get(id);
    return this.put({ ...known, ...new Fields(body).all(), worker_id: id });
  }

  /** Takes an engine away. @throws HttpProblem 404 */
  async remove(id: InstanceId): Promise<JsonObject> {
    const worker = this.#get(id);
    this.#workers.delete(id);
    await this.#leave(worker);
    return { ...describe(worker), lifecycle: 'unschedulable' };
  }

  /** Every engine. */
  all(): readonly JsonObject[] {
    return [...this.#workers.values()].map(describe);
  }

  /** Engines that can be chosen. */
  get schedulable(): number {
    return [...this.#workers.values()].filter(({ group }) => group !== undefined).length;
  }

  /** Where callers reach an engine. */
  endpointOf(id: InstanceId): unknown {
    return this.#workers.get(id)?.body['endpoint'] ?? null;
  }

  #describe(id: InstanceId): JsonObject {
    return describe(this.#get(id));
  }

  #get(id: InstanceId): SelectionWorker {
    const worker = this.#workers.get(id);
    if (worker === undefined) throw new HttpProblem(404, `worker ${id} not found`);
    return worker;
  }

  /** An engine whose events cannot be listened to is not there. */
  async #listen(worker: SelectionWorker, wanted: WantedWorker): Promise<void> {
    const { id, group } = worker;
    if (group === undefined) return;
    const { endpoints, replayEndpoint, ...facts } = wanted;
    group.setWorker({ workerId: id, ...facts, kvEvents: true });
    try {
      for (const [dpRank, endpoint] of endpoints)
        await group.feedOf(id).listen({ dpRank, endpoint, replayEndpoint });
    } catch (error) {
      this.#workers.delete(id);
      await this.#leave(worker);
      throw error;
    }
  }

  async #leave({ id, group }: SelectionWorker): Promise<void> {
    if (group === undefined) return;
    await group.removeWorker(id);
    await this.#groups.prune(group);
  }
}

/** What an engine must say to be chosen. */
interface WantedWorker {
  readonly blockSize: number;
  readonly dpStart: number;
  readonly dpSize: number;
  readonly totalKvBlocks: number;
  readonly maxBatchedTokens: number;
  readonly taints: readonly string[];
  readonly endpoints: ReadonlyMap<number, string>;
  readonly replayEndpoint: string | undefined;
}

function wantedOf(fields: Fields): WantedWorker {
  return {
    blockSize: fields.u32('block_size'),
    ...ranksOf(fields),
    totalKvBlocks: fields.u32('total_kv_blocks', 0),
    maxBatchedTokens: fields.u32('max_num_batched_tokens', 0),
    taints: fields.texts('taints'),
    endpoints: eventEndpoints(fields),
    replayEndpoint: fields.tryText('replay_endpoint'),
  };
}

function reasonsOf(fields: Fields): readonly string[] {
  const reasons: string[] = [];
  if (!fields.has('endpoint')) reasons.push('endpoint is required');
  if (fields.u32('block_size', 0) === 0) reasons.push('block_size must be greater than 0');
  const endpoints = eventEndpoints(fields);
  const { dpStart, dpSize } = ranksOf(fields);
  for (let rank = dpStart; rank < dpStart + dpSize; rank += 1)
    if (!endpoints.has(rank)) reasons.push(`kv_events endpoint is required for dp_rank ${rank}`);
  return reasons;
}

function ranksOf(fields: Fields): { readonly dpStart: number; readonly dpSize: number } {
  return fields.ranks('data_parallel_start_rank', 'data_parallel_size');
}

function eventEndpoints(fields: Fields): ReadonlyMap<number, string> {
  const byRank = fields.textsByRank('kv_events_endpoints');
  const single = fields.tryText('kv_events_endpoint');
  if (byRank.size > 0 || single === undefined) return byRank;
  return new Map([[fields.u32('data_parallel_start_rank', 0), single]]);
}

function describe({ id, body, group }: SelectionWorker): JsonObject {
  const fields = new Fields(body);
  const { model, routingGroup } = groupKey(fields, DEFAULT_MODEL);
  const reasons = reasonsOf(fields);
  const optional = Object.fromEntries(OPTIONAL_FIELDS.map((name) => [name, body[name] ?? null]));
  return {
    worker_id: id,
    model_name: model,
    routing_group: routingGroup,
    lifecycle: group === undefined ? 'incomplete' : 'schedulable',
    ...optional,
    ...(body['kv_events_endpoints'] !== undefined && {
      kv_events_endpoints: body['kv_events_endpoints'],
    }),
    taints: body['taints'] ?? [],
    ...(reasons.length > 0 && { not_schedulable_reasons: reasons }),
  };
}

/** Fields that are handed back as they came, or as null. */
const OPTIONAL_FIELDS = [
  'endpoint',
  'kv_events_endpoint',
  'replay_endpoint',
  'block_size',
  'data_parallel_start_rank',
  'data_parallel_size',
  'max_num_batched_tokens',
  'total_kv_blocks',
] as const;
