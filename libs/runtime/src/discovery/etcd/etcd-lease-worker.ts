/**
 * Worker thread that holds this process's etcd lease: grants it, renews it every third of its TTL, and grants another
 * one when etcd says that it is gone. It is a thread so that a busy event loop keeps its lease (RF 1.5).
 *
 * Only etcd's own answer makes a lease lost: after an outage longer than the TTL the lease often still lives, because
 * etcd extends leases when it starts.
 */
import { parentPort, workerData } from 'node:worker_threads';

import { Backoff, systemClock } from '@dynamo-ts/base';
import type { Etcd3 } from 'etcd3';

import { createEtcdClient } from './etcd-client.ts';
import { EtcdKeepAlive } from './etcd-keep-alive.ts';
import type {
  EtcdLeaseReport,
  EtcdLeaseRequest,
  EtcdLeaseWorkerData,
} from './etcd-lease-messages.ts';

const REVOKE_TIMEOUT_MS = 2000;

class LeaseKeeper {
  readonly #client: Etcd3;
  readonly #ttlSeconds: number;
  readonly #renewIntervalMs: number;
  readonly #backoff = new Backoff();
  readonly #closing = new AbortController();
  #nap = new AbortController();
  #inTrouble = false;

  constructor({ settings, ttlSeconds }: EtcdLeaseWorkerData) {
    this.#client = createEtcdClient(settings);
    this.#ttlSeconds = ttlSeconds;
    this.#renewIntervalMs = (ttlSeconds * 1000) / 3;
  }

  handle(request: EtcdLeaseRequest): void {
    if (request.kind === 'close') this.#closing.abort();
    this.#nap.abort();
  }

  async run(): Promise<void> {
    let leaseId: string | undefined;
    while (!this.#isClosing()) {
      leaseId ??= await this.#tryGrant();
      if (leaseId !== undefined && !(await this.#tryRenewWhileAlive(leaseId))) {
        report({ kind: 'lost', leaseId });
        leaseId = undefined;
        continue;
      }
      if (!this.#isClosing()) await this.#sleep(this.#backoff.nextMs());
    }
    if (leaseId !== undefined) await this.#revoke(leaseId);
    this.#client.close();
    report({ kind: 'closed' });
  }

  async #tryGrant(): Promise<string | undefined> {
    try {
      const { ID } = await this.#client.leaseClient.leaseGrant({ TTL: this.#ttlSeconds });
      report({ kind: 'granted', leaseId: ID });
      this.#noteHealth();
      return ID;
    } catch (error) {
      this.#noteTrouble(error);
      return undefined;
    }
  }

  /** Renews until closing, a broken stream, or loss. @returns false when the lease is lost */
  async #tryRenewWhileAlive(leaseId: string): Promise<boolean> {
    try {
      using keepAlive = await EtcdKeepAlive.open(this.#client);
      while (!this.#isClosing()) {
        if (!(await keepAlive.renew(leaseId, this.#renewIntervalMs))) return false;
        this.#noteHealth();
        await Promise.race([this.#sleep(this.#renewIntervalMs), keepAlive.broken]);
      }
    } catch (error) {
      this.#noteTrouble(error);
    }
    return true;
  }

  async #revoke(leaseId: string): Promise<void> {
    try {
      const deadline = Date.now() + REVOKE_TIMEOUT_MS;
      await this.#client.leaseClient.leaseRevoke({ ID: leaseId }, { deadline });
    } catch (error) {
      // The records then vanish with the TTL.
      this.#noteTrouble(error);
    }
  }

  #noteHealth(): void {
    this.#backoff.reset();
    if (this.#inTrouble) report({ kind: 'recovered' });
    this.#inTrouble = false;
  }

  #noteTrouble(error: unknown): void {
    this.#inTrouble = true;
    report({ kind: 'trouble', message: error instanceof Error ? error.message : String(error) });
  }

  async #sleep(delayMs: number): Promise<void> {
    this.#nap = new AbortController();
    if (this.#isClosing()) return;
    await systemClock.sleep(delayMs, { signal: this.#nap.signal }).catch(() => {});
  }

  #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }
}

function report(message: EtcdLeaseReport): void {
  parentPort?.postMessage(message);
}

// The parent passes exactly this, see EtcdLease.
const keeper = new LeaseKeeper(workerData as EtcdLeaseWorkerData);
parentPort?.on('message', (request: EtcdLeaseRequest) => {
  keeper.handle(request);
});
await keeper.run();
