/** An explanation as text: what was decided, the candidates in a table, why this one, and what came of it. */
import type { Decision, DecisionCandidate } from '@dynamo-ts/protocol';

import { costDifference } from './explanation.ts';
import type { ExplainedCandidate, Explanation, TermName } from './explanation.ts';
import { renderTable } from '../text-table.ts';

/** Candidates that are shown; a fleet may have a thousand. */
const MOST_ROWS = 12;

/** The text, with a newline at its end. */
export function renderExplanation(explanation: Explanation): string {
  const sections = [
    headline(explanation.decision),
    candidates(explanation),
    reasons(explanation),
    outcome(explanation.decision),
    context(explanation.decision),
  ];
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`;
}

function headline(decision: Decision): string {
  const { decisionId, mode, endpoint, islTokens, blockSize, requestId } = decision;
  const blocks = Math.ceil(islTokens / Math.max(1, blockSize));
  return [
    `decision ${decisionId}  ${new Date(decision.timestampMs).toISOString()}  ${mode} over ${decision.candidates.length} candidate${decision.candidates.length === 1 ? '' : 's'} of ${endpoint}`,
    `request  ${requestId}  ${count(islTokens)} prompt tokens = ${count(blocks)} block${blocks === 1 ? '' : 's'} of ${blockSize}`,
  ].join('\n');
}

function candidates({ decision, chosen, others, rejected }: Explanation): string {
  const eligible = [...(chosen === undefined ? [] : [chosen]), ...others];
  const shown = eligible.slice(0, MOST_ROWS);
  const rows = shown.map((each) => candidateRow(decision, each, chosen));
  const table = renderTable(
    ['', 'worker', 'rank', 'holds', 'to compute', 'load', 'evicts', 'requests', 'cost', ''],
    rows,
  );
  const hidden = eligible.length - shown.length;
  return [
    table,
    ...(hidden > 0
      ? [`   and ${count(hidden)} more${decision.mode === 'kv' ? ' that cost more' : ''}`]
      : []),
    ...rejectedLines(rejected),
  ].join('\n');
}

function candidateRow(
  decision: Decision,
  { candidate }: ExplainedCandidate,
  chosen: ExplainedCandidate | undefined,
): readonly string[] {
  const isChosen = candidate === chosen?.candidate;
  const more = candidate.cost - (chosen?.candidate.cost ?? 0);
  // Only this mode weighs blocks of work; the others count open requests or draw.
  const isWeighed = decision.mode === 'kv';
  return [
    isChosen ? '→' : '',
    workerName(candidate),
    String(candidate.dpRank),
    holds(decision, candidate),
    isWeighed ? fixed(candidate.adjustedPrefillBlocks) : '–',
    fixed(candidate.potentialDecodeBlocks),
    fixed(candidate.displacementBlocks),
    count(candidate.activeRequests),
    isWeighed ? fixed(candidate.cost) : '–',
    isChosen ? 'chosen' : isWeighed ? signed(more) : '',
  ];
}

/** Prompt blocks that are cached there, by tier when not all are on the device. */
function holds(decision: Decision, candidate: DecisionCandidate): string {
  const { deviceBlocks, hostBlocks, diskBlocks, approximate } = candidate;
  const lower = hostBlocks + diskBlocks === 0 ? '' : `+${hostBlocks}+${diskBlocks}`;
  const total = Math.ceil(decision.islTokens / Math.max(1, decision.blockSize));
  return `${approximate ? '~' : ''}${deviceBlocks}${lower}/${total}`;
}

function rejectedLines(rejected: readonly DecisionCandidate[]): readonly string[] {
  const byReason = Map.groupBy(rejected, ({ rejection }) => rejection);
  return [...byReason].map(([reason, those]) => {
    const names = those.slice(0, MOST_ROWS).map((each) => `${workerName(each)}/${each.dpRank}`);
    const more = those.length > MOST_ROWS ? ` and ${count(those.length - MOST_ROWS)} more` : '';
    return `   could not be chosen (${reason}): ${names.join(', ')}${more}`;
  });
}

const REASONS: Readonly<Record<string, string>> = {
  pinned: 'the request named this worker',
  preferred: 'the session is bound to this worker',
  only: 'no other worker could be chosen',
  lowest_cost: 'it costs least',
  tie: 'it costs least, drawn among equals',
  sampled: 'drawn at random, the cheaper the likelier',
  round_robin: 'it was its turn',
  random: 'drawn at random',
  least_loaded: 'it has the fewest open requests',
  power_of_two: 'it has no more open requests than a second one drawn with it',
};

function reasons({ decision, chosen, runnerUp }: Explanation): string {
  if (chosen === undefined) return 'why: the record names no choice';
  const { candidate } = chosen;
  const { reason, settings } = decision;
  const chance =
    reason === 'sampled'
      ? ` (${percent(candidate.probability)} likely at temperature ${settings?.temperature ?? 0})`
      : '';
  const why = `why: worker ${workerName(candidate)}, because ${reasonOf(decision, chosen)}${chance}`;
  if (runnerUp === undefined || decision.mode !== 'kv') return why;
  return [why, ...comparison(chosen, runnerUp)].join('\n');
}

function reasonOf({ reason, candidates }: Decision, { candidate }: ExplainedCandidate): string {
  const open = candidate.activeRequests;
  const eligible = candidates.filter(({ rejection }) => rejection === '');
  // The record does not name the second one: only where nobody had more, they certainly had the same.
  if (reason === 'power_of_two' && eligible.every(({ activeRequests }) => activeRequests <= open))
    return `drawn among two, both with ${count(open)} open request${open === 1 ? '' : 's'}`;
  return REASONS[reason] ?? reason;
}

function comparison(chosen: ExplainedCandidate, runnerUp: ExplainedCandidate): readonly string[] {
  const other = runnerUp.candidate;
  const more = other.cost - chosen.candidate.cost;
  const name = `${workerName(other)}${other.dpRank === 0 ? '' : `/${other.dpRank}`}`;
  const differences = costDifference(chosen, runnerUp);
  const verdict =
    more >= 0 ? `costs ${fixed(more)} blocks of work more` : `would cost ${fixed(-more)} less`;
  if (differences.length === 0) return [`     the next best, ${name}, costs the same`];
  return [
    `     the next best, ${name}, ${verdict}:`,
    renderTable(
      [],
      differences.map((term) => [
        '    ',
        signed(term.cost),
        term.name,
        facts(term.name, chosen.candidate, other),
      ]),
      ['right', 'right', 'left', 'left'],
    ),
  ];
}

function facts(name: TermName, chosen: DecisionCandidate, other: DecisionCandidate): string {
  switch (name) {
    case 'prompt to compute': {
      const backlog = other.activePrefillTokens - chosen.activePrefillTokens;
      const held = `holds ${blocksHeld(other)} of the prompt's blocks, not ${blocksHeld(chosen)}`;
      if (backlog === 0n) return held;
      return `${held}; ${count(other.activePrefillTokens)} tokens wait before it, not ${count(chosen.activePrefillTokens)}`;
    }
    case 'load':
      return `${fixed(other.potentialDecodeBlocks)} blocks in use with this request, not ${fixed(chosen.potentialDecodeBlocks)}`;
    case 'open requests':
      return `${count(other.activeRequests)} open, not ${count(chosen.activeRequests)}`;
    case 'evictions':
      return `${fixed(other.displacementBlocks)} cached blocks would go, not ${fixed(chosen.displacementBlocks)}`;
    case 'taints':
      return `factor ${fixed(other.taintFactor)}, not ${fixed(chosen.taintFactor)}`;
  }
}

function blocksHeld({ deviceBlocks, hostBlocks, diskBlocks }: DecisionCandidate): number {
  return deviceBlocks + hostBlocks + diskBlocks;
}

function outcome({ predictedCachedTokens: predicted, outcome: end }: Decision): string {
  const expected = `predicted: ${count(predicted)} cached tokens`;
  if (end === undefined) return `${expected}; the answer has not ended yet`;
  const cached =
    end.cachedTokens === undefined
      ? 'the engine did not say how many it found'
      : `the engine found ${count(end.cachedTokens)}`;
  const parts = [
    ...(end.outputTokens === undefined ? [] : [`${count(end.outputTokens)} tokens out`]),
    ...(end.ttftMs === undefined ? [] : [`first after ${fixed(end.ttftMs)} ms`]),
    ...(end.itlMs === undefined ? [] : [`then one every ${fixed(end.itlMs)} ms`]),
  ];
  const kind = end.errorCode === '' ? end.kind : `${end.kind} (${end.errorCode})`;
  return `${expected}; ${cached}\noutcome: ${[kind, ...parts].join(', ')}`;
}

function context(decision: Decision): string {
  const { settings, queuedMs, policyClass, traceId, indexVersion } = decision;
  const facts = [
    ...(settings === undefined || decision.mode !== 'kv' ? [] : [`weights: ${weights(settings)}`]),
    `queue: ${fixed(queuedMs)} ms${policyClass === '' ? '' : ` in class ${policyClass}`}; index at batch ${count(indexVersion)}`,
    ...(traceId === '' ? [] : [`trace: ${traceId}`]),
  ];
  return facts.join('\n');
}

function weights(settings: NonNullable<Decision['settings']>): string {
  const policy = settings.policy === 'linear' ? '' : `${settings.policy}, `;
  return `${policy}overlap credit ${settings.overlapScoreCredit}, prefill scale ${settings.prefillLoadScale}, displacement ${settings.displacementWeight}, open request ${settings.decodeActiveRequestWeight}, temperature ${settings.temperature}`;
}

function workerName({ workerId }: DecisionCandidate): string {
  return workerId.toString(16).padStart(16, '0');
}

function fixed(value: number): string {
  return value.toFixed(1);
}

function signed(value: number): string {
  return value < 0 ? `−${fixed(-value)}` : `+${fixed(value)}`;
}

function count(value: number | bigint): string {
  return value.toLocaleString('en-US');
}

function percent(ratio: number): string {
  return `${(100 * ratio).toFixed(0)} %`;
}
