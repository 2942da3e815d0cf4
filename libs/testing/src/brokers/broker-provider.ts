/**
 * Chooses how a test gets a broker: the program on PATH, else a container when Docker answers, else not at all.
 * `DYN_TEST_BROKERS=binaries|containers` forces one of them, and then its absence is an error and not a skip.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

import { getContainerRuntimeClient } from 'testcontainers';

import type { Broker, BrokerSpec } from './broker.ts';
import { ETCD_SPEC, NATS_SPEC } from './broker-specs.ts';
import { ContainerBroker } from './container-broker.ts';
import { ProcessBroker } from './process-broker.ts';

/** Gives brokers of one kind, or says why it cannot. */
export interface BrokerProvider {
  readonly available: boolean;
  /** Name of the suite: what is used, or why it is skipped. */
  readonly label: string;
  /** Whether brokers are programs of this machine, which can read its files. */
  readonly local: boolean;
  /** Starts one; `adapt` changes how it is run. */
  start(adapt?: AdaptBroker): Promise<Broker>;
}

/** Changes how a broker is run, for example by more arguments. */
export type AdaptBroker = (spec: BrokerSpec) => BrokerSpec;

/** etcd for `describe.skipIf(!etcd.available)(etcd.label, …)`. */
export async function etcdProvider(): Promise<BrokerProvider> {
  return chooseProvider(ETCD_SPEC);
}

/** The NATS server, in the same way. */
export async function natsProvider(): Promise<BrokerProvider> {
  return chooseProvider(NATS_SPEC);
}

async function chooseProvider(spec: BrokerSpec): Promise<BrokerProvider> {
  const forced = process.env['DYN_TEST_BROKERS'];
  if (forced === 'binaries' || (forced === undefined && isOnPath(spec.binary))) {
    return provider(`${spec.name} (local program)`, true, (adapt) =>
      ProcessBroker.launch(adapt(spec)),
    );
  }
  if (forced === 'containers' || (forced === undefined && (await dockerAnswers()))) {
    return provider(`${spec.name} (container)`, false, (adapt) =>
      ContainerBroker.launch(adapt(spec)),
    );
  }
  if (forced !== undefined) {
    throw new Error(`DYN_TEST_BROKERS must be binaries or containers, not "${forced}"`);
  }
  const reason = `neither "${spec.binary}" on PATH nor Docker`;
  return {
    available: false,
    local: false,
    label: `${spec.name}: skipped, ${reason}`,
    start: () => Promise.reject(new Error(`cannot start ${spec.name}: ${reason}`)),
  };
}

function provider(
  label: string,
  local: boolean,
  launch: (adapt: AdaptBroker) => Promise<Broker>,
): BrokerProvider {
  return { available: true, label, local, start: (adapt = (spec) => spec) => launch(adapt) };
}

function isOnPath(binary: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, binary), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

async function dockerAnswers(): Promise<boolean> {
  try {
    await getContainerRuntimeClient();
    return true;
  } catch {
    return false;
  }
}
