import { DynamoError } from '@dynamo-ts/base';
import { SELECTION_POLICIES } from '@dynamo-ts/runtime';
import type { SelectionPolicy } from '@dynamo-ts/runtime';

/** How a router chooses: a policy, or `direct` = only the instance that the request names. */
export type RouterMode = SelectionPolicy | 'direct';

/** Every {@link RouterMode}, default first. */
export const ROUTER_MODES: readonly RouterMode[] = [...SELECTION_POLICIES, 'direct'];

/**
 * Reads a router mode as people and peers write it.
 *
 * @throws `runtime.not_implemented` for `kv`, `config.invalid` for anything unknown
 */
export function parseRouterMode(text: string): RouterMode {
  const mode = ROUTER_MODES.find((candidate) => candidate === text);
  if (mode !== undefined) return mode;
  const known = ROUTER_MODES.join(', ');
  if (text === 'kv') {
    throw new DynamoError(
      'runtime.not_implemented',
      `router mode kv is not offered by this version; choose one of ${known}`,
    );
  }
  throw new DynamoError(
    'config.invalid',
    `router mode "${text}" is unknown; choose one of ${known}`,
  );
}
