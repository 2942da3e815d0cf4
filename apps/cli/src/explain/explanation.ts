/** What a recorded decision says, worked out: each candidate's cost term by term, and against the chosen one. */
import type { Decision, DecisionCandidate, DecisionSettings } from '@dynamo-ts/protocol';

/** One part of a candidate's cost, in blocks of work. */
export interface CostTerm {
  readonly name: TermName;
  readonly cost: number;
}

/** The parts; `taints` is what preferred taints make of the others. */
export type TermName = 'prompt to compute' | 'load' | 'open requests' | 'evictions' | 'taints';

/** A candidate with its cost taken apart. */
export interface ExplainedCandidate {
  readonly candidate: DecisionCandidate;
  /** They sum up to the cost; empty when it could not be chosen. */
  readonly terms: readonly CostTerm[];
}

/** A decision worked out. */
export interface Explanation {
  readonly decision: Decision;
  readonly chosen: ExplainedCandidate | undefined;
  /** The cheapest of the others; undefined when there was no other. */
  readonly runnerUp: ExplainedCandidate | undefined;
  /** The others that could have been chosen, cheapest first; the runner-up is the first. */
  readonly others: readonly ExplainedCandidate[];
  /** Those that could not be chosen. */
  readonly rejected: readonly DecisionCandidate[];
}

/** Works a decision out. */
export function explainDecision(decision: Decision): Explanation {
  const { candidates, chosen: position } = decision;
  const chosen = candidates[position];
  const others = candidates
    .filter((candidate) => candidate !== chosen && candidate.rejection === '')
    .sort((one, other) => one.cost - other.cost)
    .map((candidate) => explained(decision, candidate));
  return {
    decision,
    chosen: chosen && explained(decision, chosen),
    runnerUp: others[0],
    others,
    rejected: candidates.filter(({ rejection }) => rejection !== ''),
  };
}

/** What the second one costs more in each part, largest first; parts that are equal are left out. */
export function costDifference(
  chosen: ExplainedCandidate,
  other: ExplainedCandidate,
): readonly CostTerm[] {
  return other.terms
    .map(({ name, cost }) => ({ name, cost: cost - costOf(chosen, name) }))
    .filter(({ cost }) => Math.abs(cost) >= SMALLEST_DIFFERENCE)
    .sort((one, next) => Math.abs(next.cost) - Math.abs(one.cost));
}

const SMALLEST_DIFFERENCE = 0.005;

function costOf({ terms }: ExplainedCandidate, name: TermName): number {
  return terms.find((term) => term.name === name)?.cost ?? 0;
}

function explained(decision: Decision, candidate: DecisionCandidate): ExplainedCandidate {
  const { settings, mode } = decision;
  if (mode !== 'kv' || settings === undefined)
    return { candidate, terms: [{ name: 'open requests', cost: candidate.cost }] };
  const terms = termsOf(settings, candidate);
  const sum = terms.reduce((total, { cost }) => total + cost, 0);
  return { candidate, terms: [...terms, { name: 'taints', cost: candidate.cost - sum }] };
}

function termsOf(settings: DecisionSettings, candidate: DecisionCandidate): readonly CostTerm[] {
  const { adjustedPrefillBlocks: prefill, potentialDecodeBlocks: decode } = candidate;
  const evictions = settings.displacementWeight * candidate.displacementBlocks;
  const requests = settings.decodeActiveRequestWeight * candidate.activeRequests;
  if (settings.policy === 'lmetric') {
    // A product: the load counts as what it adds to the prompt's own work.
    return [
      { name: 'prompt to compute', cost: prefill },
      { name: 'load', cost: prefill * decode },
      { name: 'evictions', cost: evictions },
    ];
  }
  if (!settings.trackPrefillTokens && settings.overlapScoreCredit > 0) {
    const spared = Math.min(decode, candidate.creditBlocks);
    return [
      { name: 'prompt to compute', cost: -spared },
      { name: 'load', cost: decode },
      { name: 'open requests', cost: requests },
      { name: 'evictions', cost: evictions },
    ];
  }
  return [
    { name: 'prompt to compute', cost: settings.prefillLoadScale * prefill },
    { name: 'load', cost: decode },
    { name: 'open requests', cost: requests },
    { name: 'evictions', cost: evictions },
  ];
}
