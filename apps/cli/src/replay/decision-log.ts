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

import { decisionLines } from '../decision-lines.ts';
import type { ReplayPolicy } from './policy.ts';
import { TraceBuilder } from './trace-builder.ts';

/** What a log says. */
export interface DecisionLogContent {
  readonly endpoint: string;
  readonly mode: string;
  readonly cost: CostSettings;
  readonly trace: ReplayTrace;
  /** Ranks that could have been chosen. */
  readonly workers: number;
  /** KV blocks of a rank; 0 when it is not recorded. */
  readonly kvBlocks: number;
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
  /** Requests by rank. */
  readonly requests: readonly number[];
}

/** What {@link readDecisionLog} is told. */
export interface DecisionLogOptions {
  readonly path: string;
  /** The one to replay, when the log has several. */
  readonly endpoint: string | undefined;
  readonly policies: readonly ReplayPolicy[];
  readonly unknownOutputTokens: number;
}

/** Reads a log. @throws config.invalid when it cannot be replayed, with the reason */
export async function readDecisionLog(options: DecisionLogOptions): Promise<DecisionLogContent> {
  const reader = new LogReader(options);
  for await (const { text, where } of decisionLines(options.path))
    if (text.trim() !== '') reader.add(parse(text, where));
  return reader.content();
}

class LogReader {
  readonly #options: DecisionLogOptions;
  readonly #trace: TraceBuilder;
  readonly #endpoints = new Set<string>();
  /** Requests by rank. */
  readonly #ranks = new Map<string, number>();
  readonly #same = new Map<string, number>();
  readonly #ttftMs: number[] = [];
  readonly #itlMs: number[] = [];
  #last: Decision | undefined;
  #kvBlocks = 0;
  #cachedTokens = 0;
  #promptTokens = 0;
  #identical = 0;
  #made = 0;

  constructor(options: DecisionLogOptions) {
    this.#options = options;
    this.#trace = new TraceBuilder(options.unknownOutputTokens);
  }

  add(decision: Decision): void {
    const { endpoint } = this.#options;
    if (endpoint !== undefined && decision.endpoint !== endpoint) return;
    this.#endpoints.add(decision.endpoint);
    this.#requireBlockSize(decision);
    // A worker that failed it: the request has another decision.
    if (decision.outcome?.kind === 'failed' && !((decision.outcome.outputTokens ?? 0) > 0)) return;
    this.#last = decision;
    this.#trace.add(decision);
    this.#noteFleet(decision);
    this.#noteOutcome(decision);
    this.#makeAgain(decision);
  }

  content(): DecisionLogContent {
    const last = this.#last;
    if (last === undefined) throw unusable(`${this.#options.path} holds no decision to replay`);
    if (this.#endpoints.size > 1)
      throw unusable(
        `${this.#options.path} is of several endpoints, choose one with --endpoint: ${[...this.#endpoints].join(', ')}`,
      );
    return {
      endpoint: last.endpoint,
      mode: last.mode,
      cost: costOf(last.settings),
      trace: this.#trace.build(last.blockSize),
      workers: this.#ranks.size,
      kvBlocks: this.#kvBlocks,
      recorded: {
        cachedTokens: this.#cachedTokens,
        promptTokens: this.#promptTokens,
        ttftMs: this.#ttftMs,
        itlMs: this.#itlMs,
        requests: [...this.#ranks.values()],
      },
      again: { made: this.#made, identical: this.#identical },
      same: this.#same,
    };
  }

  #requireBlockSize({ blockSize, decisionId }: Decision): void {
    const known = this.#last?.blockSize ?? blockSize;
    if (blockSize < 1 || blockSize !== known)
      throw unusable(
        `decision ${decisionId} has blocks of ${blockSize} tokens, others of ${known}`,
      );
  }

  #noteFleet({ candidates, chosen }: Decision): void {
    for (const [position, { workerId, dpRank, totalKvBlocks }] of candidates.entries()) {
      const rank = `${workerId}/${dpRank}`;
      const requests = this.#ranks.get(rank) ?? 0;
      this.#ranks.set(rank, position === chosen ? requests + 1 : requests);
      this.#kvBlocks = Math.max(this.#kvBlocks, Number(totalKvBlocks));
    }
  }

  #noteOutcome({ outcome, islTokens }: Decision): void {
    if (outcome?.cachedTokens !== undefined) {
      this.#cachedTokens += outcome.cachedTokens;
      this.#promptTokens += islTokens;
    }
    if (outcome?.ttftMs !== undefined) this.#ttftMs.push(outcome.ttftMs);
    if (outcome?.itlMs !== undefined) this.#itlMs.push(outcome.itlMs);
  }

  #makeAgain(decision: Decision): void {
    const bytes = Decision.encode(decision).finish();
    this.#made += 1;
    const { chosen, costs } = rescoreDecision(bytes);
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

function parse(line: string, where: string): Decision {
  try {
    return Decision.fromJSON(JSON.parse(line));
  } catch (cause) {
    throw unusable(`${where} is no recorded decision`, cause);
  }
}

function unusable(message: string, cause?: unknown): DynamoError {
  return new DynamoError('config.invalid', message, { cause });
}
