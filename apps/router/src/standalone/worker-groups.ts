import type { InstanceId } from '@dynamo-ts/base';
import type { KvRouterSettings } from '@dynamo-ts/routing';
import type { Logger, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { Fields } from '../http/fields.ts';
import { HttpProblem } from '../http/http-problem.ts';
import { WorkerGroup } from './worker-group.ts';
import type { GroupKey } from './worker-group.ts';

/** Settings of {@link WorkerGroups}. */
export interface WorkerGroupsOptions {
  readonly routerId: InstanceId;
  readonly settings?: Partial<KvRouterSettings> | undefined;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  /** What a group is called in errors, for example `indexer`. */
  readonly noun: string;
}

/** A caller that makes up model names must not make the process grow. */
const MOST_GROUPS = 256;

/** Engines have blocks of 1 to a few hundred tokens. */
const MOST_BLOCK_TOKENS = 65_536;

/** Every model's engines. */
export class WorkerGroups implements AsyncDisposable {
  readonly #options: WorkerGroupsOptions;
  readonly #groups = new Map<string, WorkerGroup>();

  constructor(options: WorkerGroupsOptions) {
    this.#options = options;
  }

  /** All groups. */
  all(): readonly WorkerGroup[] {
    return [...this.#groups.values()];
  }

  /** A group that is there. @throws HttpProblem 404 */
  get(key: GroupKey): WorkerGroup {
    const group = this.#groups.get(nameOf(key));
    if (group !== undefined) return group;
    const { noun } = this.#options;
    throw new HttpProblem(
      404,
      `no ${noun} for model=${key.model} routing_group=${key.routingGroup}`,
    );
  }

  /** A group, made when it is the first time. @throws HttpProblem 409 for another block size */
  open(key: GroupKey, blockSize: number): WorkerGroup {
    const known = this.#groups.get(nameOf(key));
    if (known?.blockSize === blockSize) return known;
    if (known !== undefined && known.workers().length > 0) {
      throw new HttpProblem(
        409,
        `block_size mismatch for model=${key.model} routing_group=${key.routingGroup}: existing=${known.blockSize}, requested=${blockSize}`,
      );
    }
    if (blockSize === 0) throw new HttpProblem(400, 'block_size must be greater than 0');
    if (blockSize > MOST_BLOCK_TOKENS)
      throw new HttpProblem(400, `block_size must be at most ${MOST_BLOCK_TOKENS}`);
    if (known === undefined && this.#groups.size >= MOST_GROUPS)
      throw new HttpProblem(400, `at most ${MOST_GROUPS} models and routing groups`);
    const group = new WorkerGroup({ ...this.#options, ...key, blockSize });
    this.#groups.set(nameOf(key), group);
    void known?.close();
    return group;
  }

  /** Lets a group go when its last engine has left. */
  async prune(group: WorkerGroup): Promise<void> {
    if (group.workers().length > 0) return;
    this.#groups.delete(nameOf(group));
    await group.close();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    const groups = this.all();
    this.#groups.clear();
    for (const group of groups) await group.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** The group that a body names; `tenant_id` is an older name of the routing group. */
export function groupKey(fields: Fields, defaultModel?: string): GroupKey {
  return {
    model: fields.text('model_name', defaultModel),
    routingGroup: fields.tryText('routing_group') ?? fields.tryText('tenant_id') ?? 'default',
  };
}

function nameOf({ model, routingGroup }: GroupKey): string {
  return `${model}:${routingGroup}`;
}
