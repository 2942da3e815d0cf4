/**
 * Options of `dynamo up`: those of frontend and worker, so that every flag of a service works here too, with defaults for
 * one machine, and without those that `up` decides itself.
 */
import { DynamoError } from '@dynamo-ts/base';
import { LOGGING_OPTIONS, SHUTDOWN_OPTIONS, option, optionGroup } from '@dynamo-ts/config';
import type { ConfigOf } from '@dynamo-ts/config';
import { FRONTEND_OPTIONS } from '@dynamo-ts/frontend';
import { ROUTER_OPTIONS } from '@dynamo-ts/router';
import { WORKER_OPTIONS } from '@dynamo-ts/worker-shim';

const FLEET = optionGroup('Fleet', {
  workers: option.integer({
    flag: 'workers',
    aliases: ['num-workers'],
    env: 'DYN_WORKERS',
    min: 1,
    max: 1000,
    help: 'Number of workers; without it 2 for mocker and echo, else one per engine URL.',
  }),
  processes: option.boolean({
    flag: 'processes',
    env: 'DYN_PROCESSES',
    help: 'Frontend and every worker in a process of their own instead of all in one; the router too with --router-placement service, else it is part of the frontend.',
  }),
  engineUrl: option.list({
    flag: 'engine-url',
    env: 'DYN_ENGINE_URL',
    help: 'Address of a running engine to attach to; one worker per address.',
  }),
});

const {
  discoveryBackend: _discoveryBackend,
  requestPlane: _requestPlane,
  eventPlane: _eventPlane,
  fileDiscoveryDir: _fileDiscoveryDir,
  systemPort: _systemPort,
  endpoints: _endpoints,
  ...SERVICES
} = { ...ROUTER_OPTIONS, ...FRONTEND_OPTIONS, ...WORKER_OPTIONS };

/** Options of `dynamo up`. */
export const UP_OPTIONS = {
  ...FLEET,
  ...SERVICES,
  // On the address of this machine alone, so that decisions can be shown on the same port.
  httpHost: {
    ...FRONTEND_OPTIONS.httpHost,
    fallback: '127.0.0.1',
    fallbackText: '127.0.0.1',
    help: 'Address to listen on; 0.0.0.0 serves other machines too, and then /debug is not shown.',
  },
  ...FLEET, // again: first for the order of the help text, last for the type of engineUrl
  logFilter: { ...LOGGING_OPTIONS.logFilter, fallback: 'warn', fallbackText: 'warn' },
  grpcPort: { ...ROUTER_OPTIONS.grpcPort, fallback: -1, fallbackText: '-1' },
  // The worker's has no default and would leave the frontend without one.
  migrationLimit: FRONTEND_OPTIONS.migrationLimit,
  // Nobody routes to these workers but the frontend beside them, so there is nothing to wait for.
  gracePeriodMs: { ...SHUTDOWN_OPTIONS.gracePeriodMs, fallback: 0, fallbackText: '0s' },
  drainTimeoutMs: { ...WORKER_OPTIONS.drainTimeoutMs, fallback: 5000, fallbackText: '5s' },
} as const;

/** Configuration of `dynamo up`. */
export type UpConfig = ConfigOf<typeof UP_OPTIONS>;

const ENGINES_WITHOUT_PROCESS: readonly string[] = ['mocker', 'echo'];
const DEFAULT_MOCK_WORKERS = 2;

/** What differs between the workers. */
export interface EngineAddresses {
  /** Undefined when the worker has an engine of its own. */
  readonly engineUrl: string | undefined;
  /** Where the engine's KV events are, by data-parallel rank. */
  readonly kvEventsEndpoint: readonly string[];
  readonly kvReplayEndpoint: readonly string[];
}

/**
 * One entry per worker. Addresses of events are given out to the engines in order, as many to each.
 *
 * @throws config.invalid when they cannot be
 */
export function workerEngines(config: UpConfig): readonly EngineAddresses[] {
  const { engineUrl: urls, kvEventsEndpoint, kvReplayEndpoint } = config;
  const engines = Math.max(urls.length, 1);
  const events = sharesOf('kv-events-endpoint', kvEventsEndpoint, engines);
  const replays = sharesOf('kv-replay-endpoint', kvReplayEndpoint, engines);
  const fallback = ENGINES_WITHOUT_PROCESS.includes(config.engine) ? DEFAULT_MOCK_WORKERS : 1;
  const count = config.workers ?? (urls.length > 0 ? urls.length : fallback);
  return Array.from({ length: count }, (_, worker) => ({
    engineUrl: urls[worker % engines],
    kvEventsEndpoint: events[worker % engines] ?? [],
    kvReplayEndpoint: replays[worker % engines] ?? [],
  }));
}

function sharesOf(
  flag: string,
  addresses: readonly string[],
  engines: number,
): readonly (readonly string[])[] {
  const each = addresses.length / engines;
  if (!Number.isInteger(each))
    throw new DynamoError(
      'config.invalid',
      `--${flag} is given ${addresses.length} times for ${engines} engines: give it once per --engine-url, in the same order, or once per engine and rank`,
    );
  return Array.from({ length: engines }, (_, engine) =>
    addresses.slice(engine * each, (engine + 1) * each),
  );
}
