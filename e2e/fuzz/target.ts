/** Something that takes hostile input and must neither crash, hang nor answer with a server error. */
export interface FuzzTarget extends AsyncDisposable {
  /** Tries one input made from this seed. @returns what was wrong, with what is needed to see it again; undefined when nothing was */
  attempt(seed: number): Promise<string | undefined>;
  /** Whether it still does its work for good input. @throws when it does not */
  works(): Promise<void>;
}

/** Starts a target. */
export interface FuzzTargetSpec {
  readonly name: string;
  readonly what: string;
  start(): Promise<FuzzTarget>;
}
