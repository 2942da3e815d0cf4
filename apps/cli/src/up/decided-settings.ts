import { PLANE_OPTIONS, SYSTEM_OPTIONS } from '@dynamo-ts/config';
import type { Environment } from '@dynamo-ts/config';
import { ROUTER_OPTIONS } from '@dynamo-ts/router';

import type { UpConfig } from './up-options.ts';

/** What `dynamo up` decides itself: it joins its services, and its one port tells their state. */
export const DECIDED_OPTIONS = {
  discoveryBackend: PLANE_OPTIONS.discoveryBackend,
  requestPlane: PLANE_OPTIONS.requestPlane,
  eventPlane: PLANE_OPTIONS.eventPlane,
  fileDiscoveryDir: PLANE_OPTIONS.fileDiscoveryDir,
  systemPort: SYSTEM_OPTIONS.systemPort,
} as const;

/** One line per variable that is set and has no effect, because people expect one. */
export function ignoredSettings(env: Environment): readonly string[] {
  return Object.values(DECIDED_OPTIONS)
    .flatMap(({ env: name, envAliases = [] }) => [name, ...envAliases])
    .flatMap((name) => {
      const value = name === undefined ? undefined : env[name];
      if (name === undefined || value === undefined || value === '') return [];
      return [
        `${name}=${value} has no effect on "dynamo up", which joins its services itself; it is for "dynamo frontend", "worker" and "router"\n`,
      ];
    });
}

/** Where a router of its own is asked; without one nothing listens there. */
const ROUTER_ADDRESS = ['grpcHost', 'grpcPort', 'routerHttpHost', 'routerHttpPort'] as const;

/** One line when the address of a router is given and no router is started. */
export function ignoredRouterSettings(
  { routerPlacement }: Pick<UpConfig, 'routerPlacement'>,
  origins: Readonly<Record<string, string>>,
): string | undefined {
  if (routerPlacement === 'service') return undefined;
  const given = ROUTER_ADDRESS.filter((key) => (origins[key] ?? 'default') !== 'default');
  if (given.length === 0) return undefined;
  const flags = given.map((key) => `--${ROUTER_OPTIONS[key].flag}`).join(', ');
  return `${flags} has no effect: the router is part of the frontend; --router-placement service starts one that can be asked there\n`;
}
