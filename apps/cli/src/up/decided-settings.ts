import { PLANE_OPTIONS, SYSTEM_OPTIONS } from '@dynamo-ts/config';
import type { Environment } from '@dynamo-ts/config';

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
