import { LocalEventPlane } from './event-plane/local/local-event-plane.ts';
import { MemDiscovery, MemDiscoveryHub } from './discovery/mem/mem-discovery.ts';
import { joinPlanes } from './planes.ts';
import type { Planes } from './planes.ts';
import { LocalRequestPlane } from './request-plane/local/local-request-plane.ts';

/** Planes inside this process; all runtimes that are given the same ones see each other. */
export function createLocalPlanes(): Planes {
  return joinPlanes({
    discovery: new MemDiscovery({ hub: new MemDiscoveryHub() }),
    requestPlane: new LocalRequestPlane(),
    events: new LocalEventPlane(),
  });
}
