/**
 * What options of other systems are here, so that whoever comes from Dynamo, an engine or another router is told what to
 * write instead, or that it is not there. An option of ours that has the name wins.
 */

const ENGINE = "it is the engine's own: give it to the engine that --engine-url names";
const PROXY_TLS = 'HTTPS is not served: put a proxy in front that does it';
const PROXY_KEYS = 'there is no authentication: put a proxy in front that does it';
const DISAGGREGATION = 'disaggregated prefill is not built yet';
const JOINED =
  'it is for "dynamo frontend", "worker" and "router"; "dynamo up" joins its services itself';
const MODE = 'workers are chosen by --router-mode';
const ENGINES = 'engines are named by --engine-url of "dynamo up" and "dynamo worker"';
const LOGGING = 'levels are set by --log, for example --log debug';
const WEIGHTS =
  'cache and load are weighed by --router-kv-overlap-score-credit and --router-prefill-load-scale';
const RETRIES = 'a request moves to another worker as often as --migration-limit says';
const SILENCE = 'a request whose worker is silent is given up after --http-backend-stream-timeout';
const CORS = 'pages of other origins are not let in: put a proxy in front that answers CORS';
const TOKENIZER = 'it comes with the model that --model-path of a worker names';

const ADVICE: Readonly<Record<string, string>> = {
  // Routers of vLLM, SGLang and llm-d.
  policy: MODE,
  'routing-logic': MODE,
  'routing-policy': MODE,
  'worker-url': ENGINES,
  'worker-urls': ENGINES,
  'static-backends': ENGINES,
  backends: ENGINES,
  'service-discovery': 'services find each other by --discovery-backend',
  'max-concurrent-requests':
    'requests are bounded by --rejection-frontend-request-concurrency-limit of a frontend',
  'cache-threshold': WEIGHTS,
  'balance-abs-threshold': WEIGHTS,
  'balance-rel-threshold': WEIGHTS,
  'max-worker-retries': RETRIES,
  'retry-max-retries': RETRIES,
  'request-timeout': SILENCE,
  'request-timeout-secs': SILENCE,
  cors: CORS,
  'allowed-origins': CORS,
  'cors-allowed-origins': CORS,
  'session-key': 'sessions are kept together by --router-session-affinity-ttl-secs',
  'pd-disaggregation': DISAGGREGATION,
  prefill: DISAGGREGATION,
  decode: DISAGGREGATION,
  'log-level': LOGGING,
  verbose: LOGGING,
  v: LOGGING,
  vv: LOGGING,
  'api-key': PROXY_KEYS,
  'prometheus-port': 'metrics are at /metrics of the HTTP port, and of --system-port',
  // Frontend and workers of Dynamo.
  interactive: 'a conversation in the terminal is "dynamo run in=text"',
  i: 'a conversation in the terminal is "dynamo run in=text"',
  'tls-cert-path': PROXY_TLS,
  'tls-key-path': PROXY_TLS,
  'ssl-certfile': PROXY_TLS,
  'ssl-keyfile': PROXY_TLS,
  'kserve-grpc-server': 'KServe is not served yet',
  'grpc-metrics-port': 'KServe is not served yet',
  'enable-anthropic-api': 'the Messages API is not served yet',
  'strip-anthropic-preamble': 'the Messages API is not served yet',
  'is-prefill-worker': DISAGGREGATION,
  'is-decode-worker': DISAGGREGATION,
  'disaggregation-mode': DISAGGREGATION,
  'extra-engine-args': 'the mocker takes each of its settings as a flag of its own, see --help',
  tokenizer: TOKENIZER,
  'tokenizer-path': TOKENIZER,
  'discovery-backend': JOINED,
  'request-plane': JOINED,
  'event-plane': JOINED,
  'file-discovery-dir': JOINED,
  'system-port': JOINED,
  'nats-url': 'NATS is named by --nats-server',
  'etcd-url': 'etcd is named by --etcd-endpoints',
  // Engines.
  'kv-events-config': 'the events of an engine are read from --kv-events-endpoint',
  tp: ENGINE,
  'tp-size': ENGINE,
  'tensor-parallel-size': ENGINE,
  'pipeline-parallel-size': ENGINE,
  'gpu-memory-utilization': ENGINE,
  'mem-fraction-static': ENGINE,
  quantization: ENGINE,
  dtype: ENGINE,
  'trust-remote-code': ENGINE,
};

/** The end of a message about an unknown option that another system has; undefined when none is known to. */
export function tryForeignAdvice(name: string): string | undefined {
  const bare = name.replace(/^-+(?:no-(?=.))?/, '').replaceAll('_', '-');
  return Object.hasOwn(ADVICE, bare) ? `; ${ADVICE[bare]}` : undefined;
}
