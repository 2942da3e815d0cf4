export {
  COMMON_OPTIONS,
  ETCD_OPTIONS,
  LOGGING_OPTIONS,
  NATS_OPTIONS,
  PLANE_OPTIONS,
  SHUTDOWN_OPTIONS,
  SYSTEM_OPTIONS,
  TELEMETRY_OPTIONS,
} from './common-options.ts';
export type { UnknownVariable } from './environment-check.ts';
export { misspeltLines, unknownVariables } from './environment-check.ts';
export type { Environment } from './environment.ts';
export { writeFlags } from './flags.ts';
export type { ServiceMessage } from './launcher-channel.ts';
export { tryServiceMessage } from './launcher-channel.ts';
export { KV_ROUTER_OPTIONS } from './kv-router-options.ts';
export type { LoadConfigInput, LoadedConfig } from './load-config.ts';
export { LOADER_OPTIONS, loadConfig } from './load-config.ts';
export type { ConfigOf, Option, Options, OptionSpec } from './option.ts';
export { defineOptions, option, optionGroup } from './option.ts';
export type { DurationUnit, NumberLimits } from './option-value.ts';
export { renderHelp } from './render-help.ts';
export { renderMarkdown } from './render-markdown.ts';
export type { RunnableService, ServiceMain } from './run-service.ts';
export { failStart, probeHealth, runService } from './run-service.ts';
export type { AskedServices } from './yaml-file.ts';
export { HTTP_ADDRESS_OPTIONS } from './http-address-options.ts';
