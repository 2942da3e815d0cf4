export type { Broker, BrokerPlace, BrokerSpec } from './brokers/broker.ts';
export type { BrokerProvider } from './brokers/broker-provider.ts';
export { etcdProvider, natsProvider } from './brokers/broker-provider.ts';
export { freePort } from './brokers/free-port.ts';
export type { EventuallyOptions } from './eventually.ts';
export { eventually } from './eventually.ts';
export { FakeClock } from './fake-clock.ts';
export { HoldGate } from './hold-gate.ts';
