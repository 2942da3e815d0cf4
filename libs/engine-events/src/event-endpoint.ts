import { DynamoError } from '@dynamo-ts/base';

/** Whether the subscriber listens there itself (`*` as host), for engines that connect out. */
export function isBindEndpoint(endpoint: string): boolean {
  return endpoint.includes('*');
}

/**
 * Where a data-parallel rank's publisher is: the port is higher by the rank (RP 2.3).
 *
 * @throws `config.invalid` when the address is not `tcp://host:port` or `ipc://path`
 */
export function endpointOfRank(endpoint: string, dpRank: number): string {
  const tcp = /^(tcp:\/\/(?:\[[^\]]+\]|[^\s:/]+):)(\d{1,5})$/.exec(endpoint);
  const port = Number(tcp?.[2]) + dpRank;
  if (tcp?.[1] !== undefined && port >= 1 && port <= 65_535) return `${tcp[1]}${port}`;
  if (/^ipc:\/\/.+$/.test(endpoint) && dpRank === 0) return endpoint;
  throw new DynamoError(
    'config.invalid',
    `${endpoint} is no event endpoint${dpRank === 0 ? '' : ` for rank ${dpRank}`}: expected tcp://host:port or, for one rank, ipc://path`,
  );
}
