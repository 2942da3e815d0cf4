/**
 * The replicas of the router service as one caller sees them: calls with one answer, and which replicas can be asked.
 *
 * A replica that does not take a call in time is suspect: every call that waits for it ends at once, no further one goes
 * there, and a probe in the background finds out when it answers again. So a replica that stands still without a word
 * costs one time limit and not one per request. A call that was taken may wait as long as the router's queue makes it
 * wait, while the replica answers probes.
 */
import {
  Backoff,
  DynamoError,
  TaskGroup,
  asInstanceId,
  hasCode,
  instanceIdHex,
  onAbort,
  systemClock,
} from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import { RenewRequest } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { Client, Component, RawResponse } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

import { ROUTER_ENDPOINTS } from '../service/router-names.ts';
import type { RouterMethodName } from '../service/router-names.ts';

/** Settings of {@link RouterReplicas}. */
export interface RouterReplicasOptions {
  /** The router service's component. */
  readonly component: Component;
  /** Longest wait in milliseconds until a call is taken, and for a probe. */
  readonly timeoutMs: number;
  readonly logger: Logger;
}

/** The calls that every request makes; the others get a client when they are first made. */
const LIFECYCLE: readonly RouterMethodName[] = [
  'route',
  'prefillDone',
  'outputBlock',
  'free',
  'renew',
];

/** Calls the replicas of a router service. */
export class RouterReplicas implements AsyncDisposable {
  readonly #options: RouterReplicasOptions;
  readonly #route: Client;
  readonly #clients: Map<RouterMethodName, Promise<Client>>;
  /** Aborted when the replica becomes suspect. */
  readonly #trust = new Map<InstanceId, AbortController>();
  readonly #suspects = new Set<InstanceId>();
  readonly #trustListeners = new Set<(replica: InstanceId) => void>();
  readonly #probes: TaskGroup;
  readonly #offInstances: () => void;

  private constructor(
    options: RouterReplicasOptions,
    route: Client,
    clients: Map<RouterMethodName, Promise<Client>>,
  ) {
    this.#options = options;
    this.#route = route;
    this.#clients = clients;
    this.#probes = new TaskGroup({
      name: 'router probes',
      onError: (error) => {
        options.logger.warn('a probe of a router failed', { error });
      },
    });
    this.#offInstances = route.onInstances(({ kind, instance }) => {
      if (kind === 'removed') this.#forget(asInstanceId(instance.instanceId));
    });
  }

  /** Finds the replicas there are; there need not be one. */
  static async connect(options: RouterReplicasOptions): Promise<RouterReplicas> {
    const clients = new Map(LIFECYCLE.map((name) => [name, openClient(options.component, name)]));
    const [route] = await Promise.all(clients.values());
    if (route === undefined) throw new DynamoError('runtime.internal', 'no client was opened');
    return new RouterReplicas(options, route, clients);
  }

  /** All that discovery knows. */
  ids(): readonly InstanceId[] {
    return this.#route.instanceIds();
  }

  /** Whether a replica can be asked now. */
  isTrusted(replica: InstanceId): boolean {
    return !this.#suspects.has(replica);
  }

  /** Tells about every replica that was suspect and answers again. @returns an unsubscribe */
  onTrusted(listener: (replica: InstanceId) => void): () => void {
    this.#trustListeners.add(listener);
    return () => {
      this.#trustListeners.delete(listener);
    };
  }

  /** The next replica in turn that can be asked; undefined when there is none. */
  next(failed: ReadonlySet<InstanceId>): InstanceId | undefined {
    const excluded = this.#suspects.size === 0 ? failed : new Set([...this.#suspects, ...failed]);
    try {
      return this.#route.select('round-robin', excluded);
    } catch (error) {
      if (hasCode(error, 'backend.unavailable', 'capacity.pool_exhausted')) return undefined;
      throw error;
    }
  }

  /**
   * One request and its one answer.
   *
   * @throws `transport.timeout` when the replica is or becomes suspect, and what the replica answers
   */
  async call(
    name: RouterMethodName,
    replica: InstanceId,
    payload: Uint8Array,
    parent: Context,
  ): Promise<Uint8Array> {
    const client = await this.#client(name);
    const context = parent.child();
    const off = onAbort(this.#trusted(replica), () => {
      context.kill('deadline');
    });
    try {
      const response = await this.#taken(client.openRaw(replica, payload, context), replica);
      const answer = await this.#answer(response, replica);
      if (answer !== undefined) return answer;
      throw new DynamoError('transport.disconnected', 'the router ended without an answer');
    } catch (error) {
      if (!context.isKilled() || parent.isKilled()) throw error;
      throw timedOut(replica, this.#options.timeoutMs, error);
    } finally {
      off();
      parent.unlinkChild(context);
    }
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#offInstances();
    await this.#probes.close();
    const clients = await Promise.allSettled(this.#clients.values());
    for (const client of clients) if (client.status === 'fulfilled') await client.value.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #client(name: RouterMethodName): Promise<Client> {
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const opening = openClient(this.#options.component, name);
    this.#clients.set(name, opening);
    // The next call tries again.
    opening.catch(() => this.#clients.delete(name));
    return opening;
  }

  #trusted(replica: InstanceId): AbortSignal {
    const known = this.#trust.get(replica);
    if (known !== undefined) return known.signal;
    const trust = new AbortController();
    this.#trust.set(replica, trust);
    return trust.signal;
  }

  /** Waits until the replica has taken the call. */
  async #taken(opening: Promise<RawResponse>, replica: InstanceId): Promise<RawResponse> {
    const timer = setTimeout(() => {
      this.#suspect(replica);
    }, this.#options.timeoutMs);
    try {
      return await opening;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Waits for the answer, and now and then whether the replica is alive at all. */
  async #answer(response: RawResponse, replica: InstanceId): Promise<Uint8Array | undefined> {
    const timer = setInterval(() => {
      if (this.isTrusted(replica) && !this.#probes.signal.aborted)
        this.#probes.start('probe', async () => {
          if (!(await this.#probe(replica))) this.#suspect(replica);
        });
    }, this.#options.timeoutMs);
    try {
      return (await response.nextBatch())?.[0];
    } finally {
      clearInterval(timer);
    }
  }

  #suspect(replica: InstanceId): void {
    if (this.#suspects.has(replica) || this.#probes.signal.aborted) return;
    this.#suspects.add(replica);
    this.#trust.get(replica)?.abort();
    this.#trust.delete(replica);
    this.#options.logger.warn('a router does not answer, nothing goes there until it does', {
      router_id: instanceIdHex(replica),
    });
    this.#probes.start('suspect', (signal) => this.#watch(replica, signal));
  }

  async #watch(replica: InstanceId, signal: AbortSignal): Promise<void> {
    const { timeoutMs } = this.#options;
    const backoff = new Backoff({ initialMs: timeoutMs / 4, maxMs: 2 * timeoutMs });
    while (this.#suspects.has(replica)) {
      await systemClock.sleep(backoff.nextMs(), { signal });
      if (!this.#suspects.has(replica) || !(await this.#probe(replica))) continue;
      this.#suspects.delete(replica);
      this.#options.logger.info('a router answers again', { router_id: instanceIdHex(replica) });
      for (const listener of this.#trustListeners) listener(replica);
    }
  }

  /** Whether a replica answers within the time limit. */
  async #probe(replica: InstanceId): Promise<boolean> {
    const context = new Context();
    const timer = setTimeout(() => {
      context.kill('deadline');
    }, this.#options.timeoutMs);
    try {
      const client = await this.#client('renew');
      const payload = RenewRequest.encode(RenewRequest.create()).finish();
      const response = await client.openRaw(replica, payload, context);
      return (await response.nextBatch()) !== undefined;
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
    }
  }

  #forget(replica: InstanceId): void {
    this.#suspects.delete(replica);
    this.#trust.delete(replica);
  }
}

function openClient(component: Component, name: RouterMethodName): Promise<Client> {
  return component.endpoint(ROUTER_ENDPOINTS[name]).client();
}

function timedOut(replica: InstanceId, timeoutMs: number, cause: unknown): DynamoError {
  const message = `router ${instanceIdHex(replica)} did not answer within ${timeoutMs} ms`;
  return new DynamoError('transport.timeout', message, { cause });
}
