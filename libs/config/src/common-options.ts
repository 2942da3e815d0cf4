/**
 * Options that all services share. Keys are chosen so that a service passes its configuration on as it is:
 * `createTelemetry({ service, ...config })`, `createPlanes({ ...config, logger })`.
 */
import { option, optionGroup } from './option.ts';

/** Log lines. */
export const LOGGING_OPTIONS = optionGroup('Logging', {
  logFilter: option.string({
    flag: 'log',
    env: 'DYN_LOG',
    default: 'info',
    help: 'Least level that is logged, and levels by target: info,runtime=debug,frontend.http=off.',
  }),
  logJsonl: option.boolean({
    flag: 'log-jsonl',
    env: 'DYN_LOGGING_JSONL',
    help: 'One JSON object per log line.',
  }),
  logConsoleFormat: option.choice({
    flag: 'log-console-format',
    env: 'DYN_LOGGING_CONSOLE_FORMAT',
    choices: ['readable', 'jsonl'],
    default: 'readable',
    help: 'Form of log lines on stderr.',
  }),
  logSpanEvents: option.boolean({
    flag: 'log-span-events',
    env: 'DYN_LOGGING_SPAN_EVENTS',
    help: 'A log line when a span begins and one, with its duration, when it ends.',
  }),
  logLocalTime: option.boolean({
    flag: 'log-local-time',
    env: 'DYN_LOG_USE_LOCAL_TZ',
    help: 'Local time instead of UTC in readable log lines.',
  }),
  logPlain: option.boolean({
    flag: 'log-plain',
    env: 'DYN_SDK_DISABLE_ANSI_LOGGING',
    help: 'No colours in readable log lines, even on a terminal.',
  }),
});

/** Metrics and traces. */
export const TELEMETRY_OPTIONS = optionGroup('Metrics and traces', {
  metricsPrefix: option.string({
    flag: 'metrics-prefix',
    env: 'DYN_METRICS_PREFIX',
    default: 'dynamo_frontend',
    help: 'Prefix of the metric names of the frontend.',
  }),
  otelExportEnabled: option.boolean({
    flag: 'otel-export-enabled',
    env: 'OTEL_EXPORT_ENABLED',
    help: 'Send spans to an OpenTelemetry collector.',
  }),
  otlpEndpoint: option.string({
    flag: 'otlp-endpoint',
    env: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    help: 'Address of the collector; without it http://localhost:4317 (grpc) or http://localhost:4318 (http/protobuf).',
  }),
  otlpTracesEndpoint: option.string({
    flag: 'otlp-traces-endpoint',
    env: 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    help: 'Address for spans only, used as it is.',
  }),
  otlpProtocol: option.choice({
    flag: 'otlp-protocol',
    env: 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL',
    envAliases: ['OTEL_EXPORTER_OTLP_PROTOCOL'],
    choices: ['grpc', 'http/protobuf'],
    default: 'grpc',
    help: 'How spans travel.',
  }),
  otelServiceName: option.string({
    flag: 'otel-service-name',
    env: 'OTEL_SERVICE_NAME',
    help: 'Name of this service in traces; without it the name of the service.',
  }),
  otelSampleRatio: option.number({
    flag: 'otel-traces-sample-ratio',
    env: 'OTEL_TRACES_SAMPLE_RATIO',
    min: 0,
    max: 1,
    default: 1,
    help: 'Share of new traces that are recorded; a caller that decided already is followed.',
  }),
});

/** The status server of a process. */
export const SYSTEM_OPTIONS = optionGroup('Status server', {
  systemHost: option.string({
    flag: 'system-host',
    env: 'DYN_SYSTEM_HOST',
    default: '0.0.0.0',
    help: 'Address of the status server.',
  }),
  systemPort: option.integer({
    flag: 'system-port',
    env: 'DYN_SYSTEM_PORT',
    min: -1,
    max: 65_535,
    default: -1,
    help: 'Port of /health, /live and /metrics; -1 is off, 0 takes any free port.',
  }),
  systemStartingHealthStatus: option.choice({
    flag: 'system-starting-health-status',
    env: 'DYN_SYSTEM_STARTING_HEALTH_STATUS',
    choices: ['notready', 'ready'],
    default: 'notready',
    help: 'Status before the first endpoint is served.',
  }),
  systemHealthPath: option.string({
    flag: 'system-health-path',
    env: 'DYN_SYSTEM_HEALTH_PATH',
    default: '/health',
    help: 'Path of the readiness answer.',
  }),
  systemLivePath: option.string({
    flag: 'system-live-path',
    env: 'DYN_SYSTEM_LIVE_PATH',
    default: '/live',
    help: 'Path of the liveness answer.',
  }),
});

/** Where this service belongs and how it finds and reaches others. */
export const PLANE_OPTIONS = optionGroup('Runtime', {
  namespace: option.string({
    flag: 'namespace',
    env: 'DYN_NAMESPACE',
    default: 'dynamo',
    help: 'Namespace of this deployment; services see each other only within one.',
  }),
  discoveryBackend: option.choice({
    flag: 'discovery-backend',
    aliases: ['store-kv'],
    env: 'DYN_DISCOVERY_BACKEND',
    envAliases: ['DYN_STORE_KV'],
    choices: ['etcd', 'file', 'mem'],
    hints: { kubernetes: 'use etcd in Kubernetes' },
    default: 'etcd',
    help: 'Where instances and model cards are published: etcd, a shared directory, or this process only.',
  }),
  requestPlane: option.choice({
    flag: 'request-plane',
    env: 'DYN_REQUEST_PLANE',
    choices: ['grpc', 'nats', 'local'],
    hints: {
      tcp: "Dynamo's tcp plane is not offered here; grpc does its job",
      http: "Dynamo's http plane is not offered here; grpc does its job",
    },
    default: 'grpc',
    help: 'How requests reach workers: directly by gRPC, through NATS, or within this process.',
  }),
  eventPlane: option.choice({
    flag: 'event-plane',
    env: 'DYN_EVENT_PLANE',
    choices: ['nats', 'direct', 'local'],
    hints: { zmq: "Dynamo's zmq plane is not offered here; direct does its job without a broker" },
    default: 'nats',
    help: 'How events travel: through NATS, directly from their publishers by gRPC, or within this process.',
  }),
  fileDiscoveryDir: option.path({
    flag: 'file-discovery-dir',
    env: 'DYN_FILE_KV',
    help: 'Directory of discovery backend file, shared by all services; without it a folder under the temporary directory.',
  }),
  rpcHost: option.string({
    flag: 'rpc-host',
    env: 'DYN_RPC_HOST',
    envAliases: ['DYN_TCP_RPC_HOST'],
    default: '0.0.0.0',
    help: 'Address that the gRPC listener of this process binds.',
  }),
  rpcPort: option.integer({
    flag: 'rpc-port',
    env: 'DYN_RPC_PORT',
    envAliases: ['DYN_TCP_RPC_PORT'],
    min: 0,
    max: 65_535,
    default: 0,
    help: 'Port of the gRPC listener; 0 takes any free port.',
  }),
  rpcAdvertisedHost: option.string({
    flag: 'rpc-advertised-host',
    env: 'DYN_RPC_ADVERTISED_HOST',
    envAliases: ['DYN_EVENT_PLANE_HOST'],
    help: 'Host name or address under which others reach this process; without it that of a network interface.',
  }),
  rpcConnectTimeoutMs: option.duration({
    flag: 'rpc-connect-timeout',
    env: 'DYN_RPC_CONNECT_TIMEOUT',
    envAliases: ['DYN_TCP_CONNECT_TIMEOUT'],
    unit: 's',
    min: 1,
    default: 5000,
    help: 'How long connecting to a worker may take.',
  }),
  rpcRequestTimeoutMs: option.duration({
    flag: 'rpc-request-timeout',
    env: 'DYN_RPC_REQUEST_TIMEOUT',
    envAliases: ['DYN_TCP_REQUEST_TIMEOUT'],
    unit: 's',
    min: 1,
    default: 5000,
    help: 'How long a worker may take to accept a request.',
  }),
  inhibitedMs: option.duration({
    flag: 'runtime-inhibited-duration',
    env: 'DYN_RUNTIME_INHIBITED_DURATION_SECS',
    unit: 's',
    min: 0,
    default: 5000,
    help: 'Shortest time for which an instance that failed is left alone; 0 never leaves one alone.',
  }),
});

/** The etcd that discovery uses. */
export const ETCD_OPTIONS = optionGroup('etcd', {
  etcdEndpoints: option.list({
    flag: 'etcd-endpoints',
    env: 'ETCD_ENDPOINTS',
    default: ['http://localhost:2379'],
    help: 'Addresses of etcd.',
  }),
  etcdLeaseTtlMs: option.duration({
    flag: 'etcd-lease-ttl',
    env: 'ETCD_LEASE_TTL',
    unit: 's',
    min: 1000,
    default: 10_000,
    help: 'How long records outlive a process that died.',
  }),
  etcdUsername: option.string({
    flag: 'etcd-username',
    env: 'ETCD_AUTH_USERNAME',
    help: 'User name for etcd.',
  }),
  etcdPassword: option.string({
    flag: 'etcd-password',
    env: 'ETCD_AUTH_PASSWORD',
    secret: true,
    help: 'Password for etcd.',
  }),
  etcdCaPath: option.path({
    flag: 'etcd-ca',
    env: 'ETCD_AUTH_CA',
    help: 'CA certificate (PEM) that etcd is checked against.',
  }),
  etcdClientCertPath: option.path({
    flag: 'etcd-client-cert',
    env: 'ETCD_AUTH_CLIENT_CERT',
    help: 'Client certificate (PEM) for etcd.',
  }),
  etcdClientKeyPath: option.path({
    flag: 'etcd-client-key',
    env: 'ETCD_AUTH_CLIENT_KEY',
    help: 'Key of the client certificate (PEM).',
  }),
});

/** The NATS that requests and events may use. */
export const NATS_OPTIONS = optionGroup('NATS', {
  natsServer: option.list({
    flag: 'nats-server',
    env: 'NATS_SERVER',
    default: ['nats://localhost:4222'],
    help: 'Addresses of NATS.',
  }),
  natsUsername: option.string({
    flag: 'nats-username',
    env: 'NATS_AUTH_USERNAME',
    help: 'User name for NATS.',
  }),
  natsPassword: option.string({
    flag: 'nats-password',
    env: 'NATS_AUTH_PASSWORD',
    secret: true,
    help: 'Password for NATS.',
  }),
  natsToken: option.string({
    flag: 'nats-token',
    env: 'NATS_AUTH_TOKEN',
    secret: true,
    help: 'Token for NATS.',
  }),
  natsNkey: option.string({
    flag: 'nats-nkey',
    env: 'NATS_AUTH_NKEY',
    secret: true,
    help: 'NKey seed for NATS.',
  }),
  natsCredentialsFile: option.path({
    flag: 'nats-credentials-file',
    env: 'NATS_AUTH_CREDENTIALS_FILE',
    help: 'Credentials file for NATS.',
  }),
  natsRequestTimeoutMs: option.duration({
    flag: 'nats-request-timeout',
    env: 'DYN_NATS_REQUEST_TIMEOUT_SECS',
    unit: 's',
    min: 1,
    default: 10_000,
    help: 'How long a worker may take to accept a request that travels through NATS.',
  }),
});

/** How a service stops. */
export const SHUTDOWN_OPTIONS = optionGroup('Shutdown', {
  gracePeriodMs: option.duration({
    flag: 'graceful-shutdown-grace-period',
    env: 'DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS',
    unit: 's',
    min: 0,
    default: 5000,
    help: 'How long the process goes on accepting after it left discovery, because others notice late.',
  }),
});

/** Everything that all services share. */
export const COMMON_OPTIONS = {
  ...PLANE_OPTIONS,
  ...ETCD_OPTIONS,
  ...NATS_OPTIONS,
  ...SYSTEM_OPTIONS,
  ...LOGGING_OPTIONS,
  ...TELEMETRY_OPTIONS,
};
