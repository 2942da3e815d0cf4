/** The two systems that are compared, each started with the same workers and the same timing. */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { freePort } from '@dynamo-ts/testing';

import { ProcessGroup } from './process-group.ts';

/** How a side is set up. */
export interface SideSettings {
  readonly workers: number;
  /** How much faster than real time the mock workers are. */
  readonly speedupRatio: number;
  readonly routerMode: string;
  /** Tokens per KV block. @default the side's own */
  readonly blockSize?: number | undefined;
  /** KV blocks per worker. @default the side's own */
  readonly blocks?: number | undefined;
}

/** A system under load. */
export interface Side extends AsyncDisposable {
  readonly name: 'peer' | 'ours';
  readonly url: string;
  /** Process whose time is measured. */
  readonly frontendPid: number;
}

/** Name under which both sides serve the model. */
export const MODEL_NAME = 'bench';

const START_TIMEOUT_MS = 180_000;

/** Starts the peer: its frontend and its mocker, which find each other through a folder. */
export async function startPeer(
  settings: SideSettings,
  command: string,
  model: string,
  folder: string,
): Promise<Side> {
  const port = await freePort();
  const env = { ...process.env, DYN_FILE_KV: mkdtempSync(join(folder, 'peer-')) };
  const mode = ['--router-mode', settings.routerMode];
  const frontendCommand = [command, 'frontend', String(port), ...mode] as const;
  const mockerCommand = [
    ...([command, 'mocker', '--model-path', model, '--model-name', MODEL_NAME] as const),
    ...['--num-workers', String(settings.workers), ...cacheFlags(settings)],
    ...['--speedup-ratio', String(settings.speedupRatio)],
  ] as const;
  const groups = [
    new ProcessGroup('peer frontend', [...frontendCommand], env),
    new ProcessGroup('peer mocker', [...mockerCommand], env),
  ];
  const url = `http://127.0.0.1:${port}`;
  await untilServed(url, groups);
  return side('peer', url, groups[0]?.pid ?? 0, groups);
}

/** Starts this project, one process per service. */
export async function startOurs(settings: SideSettings, model: string): Promise<Side> {
  const port = await freePort();
  const dynamo = fileURLToPath(new URL('../../apps/cli/bin/dynamo.js', import.meta.url));
  const flags = [
    ...['up', '--processes', '--port', String(port), '--model', model],
    ...['--model-name', MODEL_NAME, '--workers', String(settings.workers)],
    ...['--speedup-ratio', String(settings.speedupRatio), ...cacheFlags(settings)],
    ...['--router-mode', settings.routerMode],
  ];
  const group = new ProcessGroup('ours', [process.execPath, dynamo, ...flags], process.env);
  const url = `http://127.0.0.1:${port}`;
  await untilServed(url, [group]);
  const pid = await untilPrinted(group, /frontend (\d+)/);
  return side('ours', url, pid, [group]);
}

function cacheFlags({ blockSize, blocks }: SideSettings): readonly string[] {
  return [
    ...(blockSize === undefined ? [] : ['--block-size', String(blockSize)]),
    ...(blocks === undefined ? [] : ['--num-gpu-blocks-override', String(blocks)]),
  ];
}

function side(
  name: Side['name'],
  url: string,
  frontendPid: number,
  groups: readonly ProcessGroup[],
): Side {
  const dispose = async (): Promise<void> => {
    await Promise.all(groups.map((group) => group[Symbol.asyncDispose]()));
  };
  return { name, url, frontendPid, [Symbol.asyncDispose]: dispose };
}

/** Waits until a request is answered: a listed model may still have no worker. */
async function untilServed(url: string, groups: readonly ProcessGroup[]): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    for (const group of groups) group.throwIfEnded();
    if (await answers(url)) return;
    await sleep(250);
  }
  const outputs = groups.map(({ name, output }) => `${name}:\n${output.slice(-2000)}`);
  throw new Error(`${url} serves no model after ${START_TIMEOUT_MS} ms\n${outputs.join('\n')}`);
}

async function answers(url: string): Promise<boolean> {
  const body = JSON.stringify({
    model: MODEL_NAME,
    messages: [{ role: 'user', content: 'hello' }],
    max_tokens: 2,
  });
  const headers = { 'content-type': 'application/json' };
  try {
    const response = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

async function untilPrinted(group: ProcessGroup, pattern: RegExp): Promise<number> {
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 100) {
    const found = pattern.exec(group.output)?.[1];
    if (found !== undefined) return Number(found);
    await sleep(100);
  }
  throw new Error(`${group.name} did not print its frontend's process id:\n${group.output}`);
}
