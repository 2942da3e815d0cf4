import type { LoadCounts } from './load.ts';
import type { ScenarioResult } from './scenario.ts';

/** What a scenario adds to the counts of its load. */
export interface OutcomeExtras {
  readonly recoverySeconds?: number | undefined;
  readonly notes?: readonly string[];
  /** What did not hold beside failed or stuck requests. */
  readonly problems?: readonly string[];
}

/** Result of a scenario whose requests must all succeed. */
export function outcomeOf(counts: LoadCounts, extras: OutcomeExtras = {}): ScenarioResult {
  const { requests, failed, stuck, identical, failures } = counts;
  const problems = [...failures, ...(extras.problems ?? [])];
  if (stuck > 0) problems.push(`${stuck} requests had no end`);
  if (requests === 0) problems.push('there was no load');
  return {
    requests,
    failed,
    stuck,
    identical,
    recoverySeconds: extras.recoverySeconds,
    notes: extras.notes ?? [],
    problems,
  };
}

/** The message when it does not hold, else nothing. */
export function unless(holds: boolean, message: string): readonly string[] {
  return holds ? [] : [message];
}
