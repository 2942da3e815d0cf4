/**
 * Other indexers of the same engines: one that starts takes the engines and the content of the first peer that answers,
 * and hears the engines' own events from then on.
 */
import { deadlineSignal } from '@dynamo-ts/base';
import type { Logger } from '@dynamo-ts/telemetry';

import { Fields } from '../http/fields.ts';
import { HttpProblem } from '../http/http-problem.ts';
import { parseJson } from '../http/json.ts';
import { restoreGroup } from './index-dump.ts';
import type { WorkerGroups } from './worker-groups.ts';

/** Registers one rank of an engine, with the body of `POST /register`. */
export type RegisterRank = (body: unknown) => Promise<unknown>;

/** Longest wait for a peer in milliseconds. */
const PEER_TIMEOUT_MS = 5000;
const MOST_PEERS = 64;

/** Peers by their base URL. */
export class IndexPeers {
  readonly #urls = new Set<string>();
  readonly #logger: Logger;

  constructor(urls: readonly string[], logger: Logger) {
    for (const url of urls) this.#urls.add(url);
    this.#logger = logger;
  }

  /** All of them. */
  urls(): readonly string[] {
    return [...this.#urls];
  }

  /** Adds a peer. @throws HttpProblem when it is no URL, or one too many */
  add(url: string): void {
    if (!URL.canParse(url)) throw new HttpProblem(400, `${url} is no URL`);
    if (this.#urls.size >= MOST_PEERS) throw new HttpProblem(400, `at most ${MOST_PEERS} peers`);
    this.#urls.add(url);
  }

  /** Forgets a peer. @returns whether it was there */
  remove(url: string): boolean {
    return this.#urls.delete(url);
  }

  /** Takes over what the first peer that answers knows. @returns its URL; undefined when none answers */
  async restore(register: RegisterRank, groups: WorkerGroups): Promise<string | undefined> {
    for (const url of this.#urls) {
      try {
        await takeWorkers(url, register);
        await takeBlocks(url, groups);
        return url;
      } catch (error) {
        this.#logger.warn('a peer does not answer', { peer: url, error });
      }
    }
    return undefined;
  }
}

async function takeWorkers(url: string, register: RegisterRank): Promise<void> {
  const workers = await fetchJson(`${url}/workers`);
  if (!Array.isArray(workers)) return;
  for (const worker of workers) {
    const { listeners, ...rest } = new Fields(worker).all();
    for (const [rank, listener] of Object.entries(new Fields(listeners).all())) {
      const address = new Fields(listener).all();
      await register({ ...rest, ...address, dp_rank: Number(rank) });
    }
  }
}

async function takeBlocks(url: string, groups: WorkerGroups): Promise<void> {
  const dump = new Fields(await fetchJson(`${url}/dump`));
  for (const group of groups.all()) {
    const part = dump.tryObject(`${group.model}:${group.routingGroup}`);
    if (part !== undefined) restoreGroup(group, part);
  }
}

async function fetchJson(url: string): Promise<unknown> {
  const response = await fetch(url, { signal: deadlineSignal(PEER_TIMEOUT_MS) });
  if (!response.ok) throw new HttpProblem(502, `${url} answers ${response.status}`);
  return parseJson(await response.text());
}
