/** The keys by which operators of the reference change disaggregation while it runs (RP 8.3). */
import type { Discovery } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

import type { DisaggThresholds } from './disagg-thresholds.ts';

/** Whose keys to read. */
export interface DisaggKeysOptions {
  readonly discovery: Discovery;
  /** Public name of the model. */
  readonly model: string;
  /** Reads the keys of this namespace as well. */
  readonly namespace?: string | undefined;
  readonly logger: Logger;
}

const NAMES = {
  max_local_prefill_length: 'maxLocalPrefillLength',
  max_prefill_queue_size: 'maxPrefillQueueSize',
} as const satisfies Record<string, keyof DisaggThresholds>;

/** `{"max_local_prefill_length": 1000}` for one model. */
export function disaggModelKey(model: string): string {
  return `public/components/disagg_router/models/chat/${model}`;
}

/** Prefixes of all keys that {@link readDisaggKey} understands. The file store has no keys of namespaces. */
export function watchedPrefixes(options: DisaggKeysOptions): readonly string[] {
  const ofModel = disaggModelKey(options.model);
  return options.namespace === undefined || options.discovery.backend === 'file'
    ? [ofModel]
    : [`/${options.namespace}/`, ofModel];
}

/** What a key says: nothing when it has gone, undefined when it is another's or cannot be read. */
export function readDisaggKey(
  key: string,
  value: Uint8Array | undefined,
  options: DisaggKeysOptions,
): Partial<DisaggThresholds> | undefined {
  const fields = fieldsOf(key, value, options);
  if (fields === undefined) return undefined;
  const known = Object.entries(NAMES).flatMap(([name, field]) => {
    const wanted = fields[name];
    if (wanted === undefined) return [];
    if (typeof wanted === 'number' && Number.isInteger(wanted) && wanted >= 0) {
      return [[field, wanted] as const];
    }
    options.logger.warn('a disaggregation threshold is no whole number and is ignored', {
      key,
      name,
    });
    return [];
  });
  return Object.fromEntries(known);
}

/** A model's key holds an object, a namespace's keys one number each. */
function fieldsOf(
  key: string,
  value: Uint8Array | undefined,
  { model, namespace }: DisaggKeysOptions,
): Readonly<Record<string, unknown>> | undefined {
  const name = key.slice(`/${namespace ?? ''}/`.length);
  const isOfNamespace = key === `/${namespace ?? ''}/${name}` && Object.hasOwn(NAMES, name);
  if (key !== disaggModelKey(model) && !isOfNamespace) return undefined;
  if (value === undefined) return {};
  const json: unknown = JSON.parse(Buffer.from(value).toString('utf8')); // discovery passes on nothing but JSON
  if (isOfNamespace) return { [name]: json };
  return typeof json === 'object' && json !== null ? { ...json } : undefined;
}
