import { networkInterfaces } from 'node:os';

const WILDCARDS = new Set(['0.0.0.0', '::', '[::]', '']);

/**
 * The host to tell others for a listener: the one it is bound to, or for a wildcard the first address of this machine
 * that is not loopback, IPv4 first; loopback when there is no other.
 */
export function advertisedHost(boundHost: string): string {
  if (!WILDCARDS.has(boundHost)) return bracketed(boundHost);
  const addresses = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80'));
  const chosen = addresses.find(({ family }) => family === 'IPv4') ?? addresses[0];
  return bracketed(chosen?.address ?? '127.0.0.1');
}

function bracketed(host: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
}
