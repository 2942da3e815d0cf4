/** Logging in to a real NATS server in every way that the settings offer. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { natsProvider } from '@dynamo-ts/testing';
import { nullLogger } from '@dynamo-ts/telemetry';
import { nkeys } from 'nats';
import { describe, expect, it } from 'vitest';

import { connectNats } from './nats-connection.ts';
import type { NatsSettings } from './nats-connection.ts';

const nats = await natsProvider();
/** The part of an untyped export that is used here. */
interface KeyPairs {
  createUser(): { getSeed(): Uint8Array; getPublicKey(): string };
}
const pairs = nkeys as unknown as KeyPairs;
const user = pairs.createUser();
const seed = Buffer.from(user.getSeed()).toString();
const otherSeed = Buffer.from(pairs.createUser().getSeed()).toString();

type Login = Omit<NatsSettings, 'servers'>;

const CASES: readonly (readonly [string, string, Login, Login])[] = [
  ['a token', '{ token: "t0ken" }', { token: 't0ken' }, { token: 'other' }],
  [
    'user name and password',
    '{ user: "ann", password: "pw" }',
    { username: 'ann', password: 'pw' },
    { username: 'ann', password: 'other' },
  ],
  [
    'an nkey',
    `{ users: [ { nkey: "${user.getPublicKey()}" } ] }`,
    { nkeySeed: seed },
    { nkeySeed: otherSeed },
  ],
];

async function greets(address: string, login: Login, timeoutMs: number): Promise<boolean> {
  const settings = { servers: [`nats://${address}`], ...login };
  await using holder = connectNats({ settings, logger: nullLogger });
  try {
    const connection = await holder.connection({ signal: AbortSignal.timeout(timeoutMs) });
    await connection.flush();
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(!nats.local)(`logging in to ${nats.label}`, { timeout: 60_000 }, () => {
  it.each(CASES)('takes %s and nothing else', async (_case, authorization, right, wrong) => {
    const folder = await mkdtemp(join(tmpdir(), 'dynamo-nats-'));
    const file = join(folder, 'nats.conf');
    await writeFile(file, `authorization: ${authorization}\n`);
    await using broker = await nats.start((spec) => ({
      ...spec,
      commandLine: (place) => [...spec.commandLine(place), '--config', file],
    }));
    expect(await greets(broker.address, right, 10_000)).toBe(true);
    expect(await greets(broker.address, wrong, 500)).toBe(false);
    expect(await greets(broker.address, {}, 500)).toBe(false);
    await rm(folder, { recursive: true });
  });
});
