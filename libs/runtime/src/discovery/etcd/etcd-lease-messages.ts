/** What {@link EtcdLease} and its worker thread say to each other. */
import type { EtcdSettings } from './etcd-client.ts';

/** Settings of the worker. */
export interface EtcdLeaseWorkerData {
  readonly settings: EtcdSettings;
  readonly ttlSeconds: number;
}

/** To the worker. */
export interface EtcdLeaseRequest {
  /** `check`: renew now, the lease may be gone. `close`: revoke and end. */
  readonly kind: 'check' | 'close';
}

/** From the worker. */
export type EtcdLeaseReport =
  | { readonly kind: 'granted'; readonly leaseId: string }
  | { readonly kind: 'lost'; readonly leaseId: string }
  | { readonly kind: 'trouble'; readonly message: string }
  /** etcd answers again after `trouble`, and the lease lives. */
  | { readonly kind: 'recovered' }
  | { readonly kind: 'closed' };
