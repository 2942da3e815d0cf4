/** Routes of the status server by which a worker's engine is told to sleep and to wake up, as in the reference (RP 11.2). */
import { DynamoError, toDynamoError } from '@dynamo-ts/base';
import type { SystemAction, SystemPage } from '@dynamo-ts/telemetry';

import { SLEEPING_PARTS } from '../engines/engine-sleep.ts';
import type { SleepingPart } from '../engines/engine-sleep.ts';
import type { SleepMode } from './sleep-mode.ts';

/** What the routes act on. */
export interface EngineRoutesOptions {
  readonly sleepMode: Pick<SleepMode, 'sleep' | 'wake' | 'level'>;
  /** Level of a sleep that names none. */
  readonly defaultLevel: number;
}

/** Deepest sleep. */
const MOST_LEVEL = 3;

/** Answers `GET /engine/is_sleeping`; undefined for other paths. */
export async function enginePage(
  url: string,
  options: EngineRoutesOptions | undefined,
): Promise<SystemPage | undefined> {
  if (options === undefined || pathOf(url) !== '/engine/is_sleeping') return undefined;
  return Promise.resolve(page(200, { is_sleeping: options.sleepMode.level !== undefined }));
}

/** Answers `POST /engine/sleep` and `POST /engine/wake_up`; undefined for other paths. */
export async function engineAction(
  { body, url }: SystemAction,
  options: EngineRoutesOptions | undefined,
): Promise<SystemPage | undefined> {
  const path = pathOf(url);
  const isSleep = path === '/engine/sleep';
  if (options === undefined || !(isSleep || path === '/engine/wake_up')) return undefined;
  const { defaultLevel, sleepMode } = options;
  try {
    const fields = readBody(body);
    const message = isSleep
      ? await sleepMode.sleep(levelOf(fields, defaultLevel))
      : await sleepMode.wake(partsOf(fields));
    return page(200, { status: 'ok', message });
  } catch (error) {
    const { info, message } = toDynamoError(error);
    return page(info.http, { status: 'error', message });
  }
}

function pathOf(url: string): string | undefined {
  return url.split('?', 1)[0];
}

function page(status: number, body: Readonly<Record<string, unknown>>): SystemPage {
  return { status, json: JSON.stringify(body) };
}

function readBody(body: string): Readonly<Record<string, unknown>> {
  if (body.trim() === '') return {};
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch (cause) {
    throw new DynamoError('request.invalid', 'the body is no JSON', { cause });
  }
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return { ...json };
  throw new DynamoError('request.invalid', 'the body must be a JSON object');
}

function levelOf({ level }: Readonly<Record<string, unknown>>, fallback: number): number {
  if (level === undefined) return fallback;
  if (typeof level === 'number' && Number.isInteger(level) && level >= 1 && level <= MOST_LEVEL)
    return level;
  throw new DynamoError('request.invalid', `level must be a whole number from 1 to ${MOST_LEVEL}`);
}

function partsOf({ tags }: Readonly<Record<string, unknown>>): readonly SleepingPart[] {
  if (tags === undefined || tags === null) return SLEEPING_PARTS;
  const isWanted = (part: SleepingPart): boolean => Array.isArray(tags) && tags.includes(part);
  const parts = SLEEPING_PARTS.filter(isWanted);
  if (Array.isArray(tags) && parts.length > 0 && parts.length === new Set(tags).size) return parts;
  throw new DynamoError('request.invalid', `tags must be a list of ${SLEEPING_PARTS.join(', ')}`);
}
