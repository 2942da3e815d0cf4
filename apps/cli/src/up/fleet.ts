/** What `dynamo up` has started. */
export interface Fleet {
  /** Starts every service. */
  start(): Promise<void>;
  /** A model is served: from now on services that die are started again. */
  ready(): void;
  close(): Promise<void>;
  /** Port that clients use; known after `start`. */
  readonly httpPort: number;
  /** Process ids by service name; empty when all run in this process. */
  readonly processIds: ReadonlyMap<string, number>;
  /** Rejects when a service cannot start, at first or again. */
  readonly failed: Promise<never>;
}
