/** Where an engine's KV events are: as the operator says, or as vLLM lists it at `GET /kv_event_sources` (RP 2.3). */
import { DynamoError } from '@dynamo-ts/base';
import { endpointOfRank } from '@dynamo-ts/engine-events';
import type { EngineEventAddress } from '@dynamo-ts/engine-events';

import { recordOf, stringOf } from '../http/json-fields.ts';

/** More ranks than any engine has. */
const MAX_RANKS = 1024;

/** What the operator says about an engine's event sockets. */
export interface EventSocketSettings {
  /** One endpoint per rank, or one whose port rises with the rank. Empty: the engine is asked. */
  readonly kvEventsEndpoint: readonly string[];
  /** In the same form. */
  readonly kvReplayEndpoint: readonly string[];
  readonly kvEventsTopic: string | undefined;
  readonly dataParallelSize: number;
}

/**
 * The addresses that the operator gave, by rank; none when there are none.
 *
 * @throws `config.invalid` when endpoints cannot be used or their numbers do not fit together
 */
export function configuredAddresses(settings: EventSocketSettings): readonly EngineEventAddress[] {
  const { dataParallelSize, kvEventsEndpoint, kvEventsTopic, kvReplayEndpoint } = settings;
  if (kvEventsEndpoint.length === 0 && kvReplayEndpoint.length > 0) {
    throw new DynamoError(
      'config.invalid',
      '--kv-replay-endpoint replays what --kv-events-endpoint sends: both are needed',
    );
  }
  if (kvEventsEndpoint.length === 0) return [];
  const ranks = Math.max(dataParallelSize, kvEventsEndpoint.length);
  return Array.from({ length: ranks }, (_, dpRank) => ({
    dpRank,
    endpoint: ofRank(kvEventsEndpoint, dpRank, ranks),
    replayEndpoint:
      kvReplayEndpoint.length === 0 ? undefined : ofRank(kvReplayEndpoint, dpRank, ranks),
    topic: kvEventsTopic,
  }));
}

/**
 * The addresses that vLLM lists, seen from here: an engine that listens everywhere is reached at `host`.
 *
 * @returns only ranks whose events can be had; none when the engine publishes none
 */
export function listedAddresses(sources: unknown, host: string): readonly EngineEventAddress[] {
  return Object.entries(recordOf(sources))
    .flatMap(([rank, config]) => listedAddress(Number(rank), recordOf(config), host))
    .sort((one, other) => one.dpRank - other.dpRank);
}

function ofRank(endpoints: readonly string[], dpRank: number, ranks: number): string {
  const [first = ''] = endpoints;
  if (endpoints.length === 1) return endpointOfRank(first, dpRank);
  const own = endpoints[dpRank];
  if (own !== undefined && endpoints.length === ranks) return endpointOfRank(own, 0);
  throw new DynamoError(
    'config.invalid',
    `${ranks} ranks need one endpoint whose port rises with the rank, or one each, and not ${endpoints.length}: ${endpoints.join(', ')}`,
  );
}

function listedAddress(
  dpRank: number,
  config: Readonly<Record<string, unknown>>,
  host: string,
): readonly EngineEventAddress[] {
  const endpoint = reachable(stringOf(config['endpoint']), host);
  const isPublished = config['enable_kv_cache_events'] === true && config['publisher'] === 'zmq';
  if (!isPublished || endpoint === undefined || !(dpRank >= 0 && dpRank < MAX_RANKS)) return [];
  return [
    {
      dpRank,
      endpoint,
      replayEndpoint: reachable(stringOf(config['replay_endpoint']), host),
      topic: stringOf(config['topic']) || undefined,
    },
  ];
}

/** `*` and the like mean every interface of the engine's machine; other schemes than TCP stay inside it. */
function reachable(endpoint: string | undefined, host: string): string | undefined {
  const [, name, port] = /^tcp:\/\/(.+):(\d+)$/.exec(endpoint ?? '') ?? [];
  if (name === undefined || port === undefined) return undefined;
  const isEverywhere = ['*', '0.0.0.0', '[::]', '::'].includes(name);
  return `tcp://${isEverywhere ? host : name}:${port}`;
}
