/**
 * Real etcd and NATS for tests, as local programs or as containers, with the controls that fault tests need.
 *
 * A broker keeps its address for its whole life, across kill, wipe and start, because that is what its clients see in
 * production.
 */

/** A running broker that a test may hurt. */
export interface Broker extends AsyncDisposable {
  /** `host:port`, the same after every restart. */
  readonly address: string;
  /** Ends it at once, as a crash would; data stays. */
  kill(): Promise<void>;
  /** Forgets all data. Only after {@link Broker.kill}. */
  wipe(): Promise<void>;
  /** Starts it again on the same address; resolves when it answers. */
  start(): Promise<void>;
  /** Freezes it: connections stay open and nothing answers. */
  pause(): Promise<void>;
  /** Ends {@link Broker.pause}. */
  resume(): Promise<void>;
  /** Ends it for good and removes its data. Idempotent. */
  close(): Promise<void>;
}

/** How a kind of broker is run and recognised as ready. */
export interface BrokerSpec {
  readonly name: string;
  /** Program looked for on PATH. */
  readonly binary: string;
  readonly image: string;
  readonly containerPort: number;
  /** Arguments of the program, listening on `port` of `host`, with its data below `dataPath`. */
  commandLine(place: BrokerPlace): readonly string[];
  /** Whether it answers. */
  isReady(address: string): Promise<boolean>;
}

/** Where a broker listens and keeps its data. */
export interface BrokerPlace {
  readonly host: string;
  readonly port: number;
  /** A second port, for a broker that needs one for its peers. */
  readonly peerPort: number;
  readonly dataPath: string;
}
