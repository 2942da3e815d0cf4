/**
 * Names of things that two processes must agree on: endpoint paths, discovery keys and event subjects (RF 1.1, 1.4, 1.8).
 */
import { DynamoError, instanceIdHex } from '@dynamo-ts/base';

/** Bucket of endpoint instances in the discovery store. */
export const INSTANCES_PREFIX = 'v1/instances/';
/** Bucket of model deployment cards. */
export const MODEL_CARDS_PREFIX = 'v1/mdc/';
/** Bucket of event publishers' addresses (direct event plane). */
export const EVENT_CHANNELS_PREFIX = 'v1/event_channels/';

/** Topic of the workers' KV events, encoded `KvEventBatch`es. */
export const KV_EVENTS_TOPIC = 'kv-events';
/** Topic of the workers' load, encoded `ActiveLoad`s. */
export const LOAD_METRICS_TOPIC = 'load_metrics';
/** Endpoint of a worker's component that answers routers which missed KV events. */
export const WORKER_KV_QUERY_ENDPOINT = 'worker_kv_indexer_query';

/** A named, network-callable handler: namespace, component, endpoint. */
export interface EndpointPath {
  readonly namespace: string;
  readonly component: string;
  readonly endpoint: string;
}

/**
 * Reads `dyn://namespace.component.endpoint` or the same without the scheme.
 *
 * @throws `config.invalid` when it has not exactly three non-empty parts
 */
export function parseEndpointPath(text: string): EndpointPath {
  const [namespace, component, endpoint, ...rest] = text.replace(/^dyn:\/\//, '').split('.');
  if (!namespace || !component || !endpoint || rest.length > 0) {
    throw new DynamoError(
      'config.invalid',
      `"${text}" is not an endpoint path; write dyn://namespace.component.endpoint`,
    );
  }
  return { namespace, component, endpoint };
}

/** `namespace.component.endpoint`, as used on the wire. */
export function formatEndpointPath(path: EndpointPath): string {
  return `${path.namespace}.${path.component}.${path.endpoint}`;
}

/** `dyn://namespace.component.endpoint`, as shown to people. */
export function endpointUri(path: EndpointPath): string {
  return `dyn://${formatEndpointPath(path)}`;
}

/** Prefix of all instances of an endpoint. */
export function instancesPrefix(path: EndpointPath): string {
  return INSTANCES_PREFIX + endpointSegments(path);
}

/** Key of one instance. */
export function instanceKey(path: EndpointPath, instanceId: bigint): string {
  return instancesPrefix(path) + instanceIdHex(instanceId);
}

/** Key of the model card that an instance publishes; adapters append their slug. */
export function modelCardKey(path: EndpointPath, instanceId: bigint, adapterSlug?: string): string {
  const key = MODEL_CARDS_PREFIX + endpointSegments(path) + instanceIdHex(instanceId);
  return adapterSlug === undefined ? key : `${key}/${encodeSegment(adapterSlug)}`;
}

/** Key of an event publisher's address. `scope` is for example `namespace/dynamo/component/backend`. */
export function eventChannelKey(scope: string, topic: string, publisherId: bigint): string {
  return `${EVENT_CHANNELS_PREFIX}${scope}/topic/${encodeSegment(topic)}/${instanceIdHex(publisherId)}`;
}

/** What an event topic belongs to: a namespace, one of its components, or one endpoint. */
export interface EventScope {
  readonly namespace: string;
  readonly component?: string;
  readonly endpoint?: string;
}

/** `namespace.N[.component.C[.endpoint.E]].topic`. */
export function eventSubject(scope: EventScope, topic: string): string {
  return `${scopeParts(scope).join('.')}.${topic}`;
}

/** `namespace/N[/component/C[/endpoint/E]]`, percent-encoded. */
export function eventScopeKey(scope: EventScope): string {
  return scopeParts(scope).map(encodeSegment).join('/');
}

/** Percent-encodes everything but `[A-Za-z0-9_-]` (RF 1.4). */
export function encodeSegment(segment: string): string {
  return encodeURIComponent(segment).replace(
    /[!'()*.~]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}

function endpointSegments(path: EndpointPath): string {
  return [path.namespace, path.component, path.endpoint]
    .map((segment) => `${encodeSegment(segment)}/`)
    .join('');
}

function scopeParts(scope: EventScope): string[] {
  const parts = ['namespace', scope.namespace];
  if (scope.component !== undefined) parts.push('component', scope.component);
  if (scope.endpoint !== undefined) parts.push('endpoint', scope.endpoint);
  return parts;
}
