/**
 * Reads a decision log for a replay: the requests, the fleet they met, what the engines said, and whether each choice comes
 * out the same when it is made again.
 */
import { DynamoError } from '@dynamo-ts/base';
import { rescoreDecision } from '@dynamo-ts/kv';
import type { CostSettings } from '@dynamo-ts/kv';
import { Decision } from '@dynamo-ts/protocol';
import type { DecisionSettings } from '@dynamo-ts/protocol';
import type { ReplayTrace } from '@dynamo-ts/sim';

import type { DecisionReader } from '../decision-reader.ts';
import type { ReplayPolicy } from './policy.ts';
import { FleetLives } from './fleet-lives.ts';
import type { Fleet } from './fleet-lives.ts';
import { TraceBuilder } from './trace-builder.ts';

/** What a log says. */
export interface DecisionLogContent {
  readonly endpoint: string;
  readonly mode: string;
  readonly cost: CostSettings;
  readonly trace: ReplayTrace;
  /** Ranks that could have been chosen. */
  readonly fleet: Fleet;
  readonly recorded: RecordedOutcomes;
  /** Choices that were made again, and how many of them came out bit-identical. */
  readonly again: { readonly made: number; readonly identical: number };
  /** How many would have chosen the same with each policy; only for `kv`. */
  readonly same: ReadonlyMap<string, number>;
}

/** What the engines said at the time. */
export interface RecordedOutcomes {
  readonly cachedTokens: number;
  /** Of requests that have it. */
  readonly promptTokens: number;
  readonly ttftMs: readonly number[];
  readonly itlMs: readonly number[];
}

/** What {@link readDecisionLog} is told. */
export interface DecisionLogOptions {
  readonly reader: DecisionReader;
  /** The one to replay, when there are several. */
  readonly endpoint: string | undefined;
  /** Tokens per block of those to replay, when models of the endpoint have several. @default all must be of one */
  readonly blockSize?: number | undefined;
  readonly policies: readonly ReplayPolicy[];
  readonly unknownOutputTokens: number;
}

/** Reads logs. @throws config.invalid when they cannot be replayed, with the reason */
export async function readDecisionLog(options: DecisionLogOptions): Promise<DecisionLogContent> {
  const content = new LogReader(options);
  const { reader } = options;
  for await (const { decision, where } of reader.read()) {
    const problem = content.add(decision);
    if (problem !== undefined) reader.leaveOut(where, problem);
  }
  return content.content();
}

class LogReader {
  readonly #options: DecisionLogOptions;
  readonly #trace: TraceBuilder;
  readonly #endpoints = new Set<string>();
  readonly #fleet = new FleetLives();
  readonly #same = new Map<string, number>();
  readonly #ttftMs: number[] = [];
  readonly #itlMs: number[] = [];
  #last: Decision | undefined;
  #cachedTokens = 0;
  #promptTokens = 0;
  #identical = 0;
  #made = 0;

  constructor(options: DecisionLogOptions) {
    this.#options = options;
    this.#trace = new TraceBuilder(options.unknownOutputTokens);
  }

  /** Takes one in. @returns why it cannot be used */
  add(decision: Decision): string | undefined {
    if (!this.#isWanted(decision)) return undefined;
    const problem = this.#tryMakeAgain(decision);
    if (problem !== undefined) return problem;
    this.#endpoints.add(decision.endpoint);
    if (this.#endpoints.size === 1) this.#requireBlockSize(decision);
    if (decision.timestampMs >= (this.#last?.timestampMs ?? -Infinity)) this.#last = decision;
    this.#fleet.add(decision, this.#trace.add(decision));
    this.#noteOutcome(decision);
    return undefined;
  }

  content(): DecisionLogContent {
    const last = this.#last;
    const { paths, complaint } = this.#options.reader;
    const names = paths.join(', ');
    if (last === undefined)
      throw unusable(
        `${names} holds no decision to replay${complaint === undefined ? '' : ` (${complaint})`}`,
      );
    if (this.#endpoints.size > 1)
      throw unusable(
        `${names} is of several endpoints, choose one with --endpoint: ${[...this.#endpoints].join(', ')}`,
      );
    const positions = this.#trace.positions();
    return {
      endpoint: last.endpoint,
      mode: last.mode,
      cost: costOf(last.settings),
      trace: this.#trace.build(last.blockSize),
      fleet: this.#fleet.build((number) => positions[number] ?? 0),
      recorded: {
        cachedTokens: this.#cachedTokens,
        promptTokens: this.#promptTokens,
        ttftMs: this.#ttftMs,
        itlMs: this.#itlMs,
      },
      again: { made: this.#made, identical: this.#identical },
      same: this.#same,
    };
  }

  #isWanted({ endpoint, blockSize, outcome }: Decision): boolean {
    const wanted = this.#options;
    if (wanted.endpoint !== undefined && endpoint !== wanted.endpoint) return false;
    if (wanted.blockSize !== undefined && blockSize !== wanted.blockSize) return false;
    // A worker that failed it: the request has another decision.
    return outcome?.kind !== 'failed' || (outcome.outputTokens ?? 0) > 0;
  }

  #requireBlockSize({ blockSize, decisionId }: Decision): void {
    const known = this.#last?.blockSize ?? blockSize;
    if (blockSize !== known)
      throw unusable(
        `decision ${decisionId} has blocks of ${blockSize} tokens, others of ${known}: choose one with --block-size`,
      );
  }

  #noteOutcome({ outcome, islTokens }: Decision): void {
    if (outcome?.cachedTokens !== undefined) {
      this.#cachedTokens += outcome.cachedTokens;
      this.#promptTokens += islTokens;
    }
    if (outcome?.ttftMs !== undefined) this.#ttftMs.push(outcome.ttftMs);
    if (outcome?.itlMs !== undefined) this.#itlMs.push(outcome.itlMs);
  }

  #tryMakeAgain(decision: Decision): string | undefined {
    try {
      this.#makeAgain(decision);
      return undefined;
    } catch (error) {
      return `decision ${decision.decisionId}: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  #makeAgain(decision: Decision): void {
    const bytes = Decision.encode(decision).finish();
    const { chosen, costs } = rescoreDecision(bytes);
    this.#made += 1;
    const isSame = decision.candidates.every(
      ({ cost, rejection }, position) => rejection !== '' || Object.is(costs[position], cost),
    );
    if (isSame && chosen === decision.chosen) this.#identical += 1;
    for (const { name, mode, weights } of this.#options.policies) {
      if (mode !== 'kv') continue;
      const cost = { ...costOf(decision.settings), ...weights };
      const again = rescoreDecision(bytes, { mode, cost });
      this.#same.set(
        name,
        (this.#same.get(name) ?? 0) + (again.chosen === decision.chosen ? 1 : 0),
      );
    }
  }
}

/** The recorded weights. */
function costOf(settings: DecisionSettings | undefined): CostSettings {
  if (settings === undefined) throw unusable('a decision without weights cannot be replayed');
  const { policy } = settings;
  return { ...settings, policy: policy === 'lmetric' ? 'lmetric' : 'linear' };
}

function unusable(message: string): DynamoError {
  return new DynamoError('config.invalid', message);
}
