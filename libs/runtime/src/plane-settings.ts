import { DynamoError } from '@dynamo-ts/base';

/** Where instances and model cards are published. */
export type DiscoveryBackend = 'etcd' | 'file' | 'mem';

/** How requests travel. */
export type RequestPlaneBackend = 'grpc' | 'nats' | 'local';

/** How events travel. */
export type EventPlaneBackend = 'nats' | 'direct' | 'local';

const ELSEWHERE: Readonly<Record<string, string>> = {
  kubernetes: 'use etcd in Kubernetes',
  tcp: "Dynamo's tcp plane is not offered here; grpc does its job",
  http: "Dynamo's http plane is not offered here; grpc does its job",
  quic: "Dynamo's quic plane is not offered here; grpc does its job",
  zmq: "Dynamo's zmq plane is not offered here; direct does its job without a broker",
};

/** Reads `DYN_DISCOVERY_BACKEND`. @throws `config.invalid` for an unknown value */
export function parseDiscoveryBackend(value: string): DiscoveryBackend {
  return parse('DYN_DISCOVERY_BACKEND', value, ['etcd', 'file', 'mem']);
}

/** Reads `DYN_REQUEST_PLANE`. @throws `config.invalid` for an unknown value */
export function parseRequestPlane(value: string): RequestPlaneBackend {
  return parse('DYN_REQUEST_PLANE', value, ['grpc', 'nats', 'local']);
}

/** Reads `DYN_EVENT_PLANE`. @throws `config.invalid` for an unknown value */
export function parseEventPlane(value: string): EventPlaneBackend {
  return parse('DYN_EVENT_PLANE', value, ['nats', 'direct', 'local']);
}

function parse<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const chosen = choices.find((choice) => choice === value.toLowerCase());
  if (chosen !== undefined) return chosen;
  const hint = ELSEWHERE[value.toLowerCase()];
  const reason = hint === undefined ? '' : `; ${hint}`;
  throw new DynamoError(
    'config.invalid',
    `${name}: "${value}" is unknown; choose ${choices.join(', ')}${reason}`,
  );
}
