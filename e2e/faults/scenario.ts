/** A scenario of the fault suite: a fleet under load, a fault, and what must hold after it. */

/** How much of a scenario is run. */
export type Size = 'short' | 'long';

/** What a scenario counted. */
export interface ScenarioResult {
  readonly requests: number;
  /** Requests that got an error or a wrong answer. */
  readonly failed: number;
  /** Requests without an end by their deadline. */
  readonly stuck: number;
  /** Answers equal to those of an undisturbed run, of how many compared; undefined when the scenario compares none. */
  readonly identical?: { readonly equal: number; readonly of: number } | undefined;
  /** From the end of the fault until everything was as before it. */
  readonly recoverySeconds?: number | undefined;
  /** Further figures, in words. */
  readonly notes: readonly string[];
  /** What did not hold; empty when the scenario passed. */
  readonly problems: readonly string[];
  /** Why it could not be run here; undefined when it was run. */
  readonly skipped?: string | undefined;
}

/** What a scenario is given. */
export interface ScenarioContext {
  readonly size: Size;
  /** Requests of the soak, when not as many as its size says. */
  readonly soakRequests?: number | undefined;
  /** Tells what happens now. */
  readonly progress: (message: string) => void;
}

/** One row of the suite. */
export interface Scenario {
  readonly name: string;
  /** Number in the list of acceptance tests taken from outages; undefined for further ones. */
  readonly outage?: number | undefined;
  readonly load: string;
  readonly fault: string;
  readonly assertion: string;
  /** It measures, so that nothing else may run beside it. @default false */
  readonly alone?: boolean;
  run(context: ScenarioContext): Promise<ScenarioResult>;
}

/** An acceptance test that cannot be built yet. */
export interface Missing {
  readonly outage: number;
  readonly name: string;
  readonly reason: string;
}

/** The result of a scenario for which this machine lacks something. */
export function skippedFor(reason: string): ScenarioResult {
  return { requests: 0, failed: 0, stuck: 0, notes: [], problems: [], skipped: reason };
}

/** Picks the value for the size that is run. */
export function bySize<T>(size: Size, values: Readonly<Record<Size, T>>): T {
  return values[size];
}
