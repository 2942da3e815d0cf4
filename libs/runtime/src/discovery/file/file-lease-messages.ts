/** What {@link FileLease} and its worker thread say to each other. */

/** Settings of the worker. */
export interface FileLeaseWorkerData {
  readonly heartbeatMs: number;
}

/** Asked of the worker; every request is answered once, in order. */
export type FileLeaseRequest =
  | {
      readonly kind: 'put';
      readonly id: number;
      readonly path: string;
      readonly temporaryPath: string;
      readonly value: Uint8Array;
    }
  | { readonly kind: 'remove'; readonly id: number; readonly path: string }
  | { readonly kind: 'close'; readonly id: number };

/** The answer; `errorCode` is the system's, for example `EACCES`. */
export interface FileLeaseReply {
  readonly id: number;
  readonly errorCode?: string;
}
