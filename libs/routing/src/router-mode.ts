import { DynamoError } from '@dynamo-ts/base';
import { SELECTION_POLICIES } from '@dynamo-ts/runtime';
import type { SelectionPolicy } from '@dynamo-ts/runtime';

/**
 * How a router chooses: `kv` = by cached prefixes and load, a policy, or `direct` = only the instance that the request
 * names.
 */
export type RouterMode = 'kv' | SelectionPolicy | 'direct';

/** Every {@link RouterMode}, default first. */
export const ROUTER_MODES: readonly RouterMode[] = ['kv', ...SELECTION_POLICIES, 'direct'];

/** Reads a router mode as people and peers write it. @throws `config.invalid` for anything unknown */
export function parseRouterMode(text: string): RouterMode {
  const mode = ROUTER_MODES.find((candidate) => candidate === text);
  if (mode !== undefined) return mode;
  const known = ROUTER_MODES.join(', ');
  throw new DynamoError(
    'config.invalid',
    `router mode "${text}" is unknown; choose one of ${known}`,
  );
}
