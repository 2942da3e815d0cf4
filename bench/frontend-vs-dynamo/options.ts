import { defineOptions, option } from '@dynamo-ts/config';
import type { ConfigOf } from '@dynamo-ts/config';

/** Options of the benchmark. */
export const BENCH_OPTIONS = defineOptions({
  dynamoPeer: option.path({
    flag: 'dynamo-peer',
    env: 'BENCH_DYNAMO_PEER',
    help: 'Command that starts the peer: `frontend PORT …`, `mocker …`, `tokenizer DIR`. Without it only this project is measured.',
  }),
  sseLoad: option.path({
    flag: 'sse-load',
    env: 'BENCH_SSE_LOAD',
    help: 'The load generator: its binary, or the folder of its Go source.',
  }),
  model: option.path({
    flag: 'model',
    env: 'BENCH_MODEL',
    help: 'Folder with tokenizer and template; without it the peer makes one.',
  }),
  rounds: option.integer({
    flag: 'rounds',
    env: 'BENCH_ROUNDS',
    min: 1,
    default: 3,
    help: 'Runs of each scenario on each side; medians are compared.',
  }),
  scenarios: option.list({
    flag: 'scenario',
    env: 'BENCH_SCENARIOS',
    default: [],
    help: 'Scenarios to run; all without it.',
  }),
  workers: option.integer({
    flag: 'workers',
    env: 'BENCH_WORKERS',
    min: 1,
    default: 4,
    help: 'Mock workers on each side.',
  }),
  speedupRatio: option.number({
    flag: 'speedup-ratio',
    env: 'BENCH_SPEEDUP_RATIO',
    min: 0,
    default: 20,
    help: 'How much faster than real time the mock workers are, on both sides.',
  }),
  routerMode: option.string({
    flag: 'router-mode',
    env: 'BENCH_ROUTER_MODE',
    default: 'round-robin',
    help: 'How both sides choose workers.',
  }),
  peerRouterMode: option.string({
    flag: 'peer-router-mode',
    env: 'BENCH_PEER_ROUTER_MODE',
    help: 'How the peer chooses workers when it differs.',
  }),
  scale: option.number({
    flag: 'scale',
    env: 'BENCH_SCALE',
    min: 0.01,
    default: 1,
    help: 'Factor on the number of requests.',
  }),
  out: option.path({
    flag: 'out',
    env: 'BENCH_OUT',
    help: 'File that all figures are written to, as JSON.',
  }),
});

/** Configuration of the benchmark. */
export type BenchConfig = ConfigOf<typeof BENCH_OPTIONS>;
