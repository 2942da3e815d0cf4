/** Records in the discovery store that are wrong: changed copies of the real ones, under real and odd keys. */
import { createPlanes } from '@dynamo-ts/runtime';
import type { Planes } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';

import { complete } from '../faults/completion.ts';
import { Fleet } from '../faults/fleet.ts';
import { Dice, mutatedBytes, mutatedJson } from './mutation.ts';
import type { Json } from './mutation.ts';
import type { FuzzTarget, FuzzTargetSpec } from './target.ts';

const PREFIXES = ['v1/instances/', 'v1/mdc/', 'v1/event_channels/'];
/** How long a wrong record stays. */
const LINGER_MS = 30;

/** Frontend, router and worker that read the same store. */
export const DISCOVERY_RECORDS: FuzzTargetSpec = {
  name: 'discovery',
  what: 'records of instances, model cards and event publishers',
  async start() {
    const fleet = await Fleet.start({ workers: 1, routers: 1 });
    const planes = await createPlanes({
      discoveryBackend: 'file',
      requestPlane: 'grpc',
      eventPlane: 'direct',
      fileDiscoveryDir: fleet.folder,
      rpcHost: '127.0.0.1',
      logger: nullLogger,
    });
    const lists = await Promise.all(PREFIXES.map((prefix) => planes.discovery.list(prefix)));
    const real = lists.flat().map(({ key, value }) => ({ key, value: Buffer.from(value) }));
    return new DiscoveryRecords(fleet, planes, real);
  },
};

interface RealRecord {
  readonly key: string;
  readonly value: Buffer;
}

class DiscoveryRecords implements FuzzTarget {
  readonly #fleet: Fleet;
  readonly #planes: Planes;
  readonly #real: readonly RealRecord[];

  constructor(fleet: Fleet, planes: Planes, real: readonly RealRecord[]) {
    this.#fleet = fleet;
    this.#planes = planes;
    this.#real = real;
  }

  async attempt(seed: number): Promise<string | undefined> {
    const dice = new Dice(seed);
    const { key, value } = dice.pick(this.#real);
    await using _ = await this.#planes.discovery.register({
      key: wrongKey(key, seed, dice),
      value: wrongValue(value, dice),
    });
    await new Promise((resolve) => setTimeout(resolve, LINGER_MS));
    return undefined;
  }

  /** A wrong instance may be tried before the good one; the client sees nothing of it. */
  async works(): Promise<void> {
    const ending = await complete(this.#fleet.urls[0] ?? '', { prompt: 'good', max_tokens: 3 });
    if (ending.kind !== 'answered') throw new Error(JSON.stringify(ending));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#planes.close();
    await this.#fleet[Symbol.asyncDispose]();
  }
}

/** The key of another instance, cut, or with something odd at its end; never that of the real record. */
function wrongKey(key: string, seed: number, dice: Dice): string {
  const prefix = PREFIXES.find((candidate) => key.startsWith(candidate)) ?? '';
  const parts = key.slice(prefix.length).split('/');
  const changed = dice.pick([
    [...parts.slice(0, -1), seed.toString(16)],
    [...parts, String(seed)],
    [...parts.slice(0, 1), String(seed)],
    [`odd-${seed}`, '\u0000', '%2e%2e'],
  ]);
  return prefix + changed.join('/');
}

function wrongValue(value: Buffer, dice: Dice): Uint8Array {
  if (dice.once(4)) return mutatedBytes(value, dice);
  return Buffer.from(JSON.stringify(mutatedJson(JSON.parse(value.toString()) as Json, dice)));
}
