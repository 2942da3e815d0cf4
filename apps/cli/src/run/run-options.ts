/** Options of `dynamo run`: those of frontend and worker, and the two sides that are connected. */
import { DynamoError } from '@dynamo-ts/base';
import { LOGGING_OPTIONS, SHUTDOWN_OPTIONS, option, optionGroup } from '@dynamo-ts/config';
import type { ConfigOf } from '@dynamo-ts/config';
import { FRONTEND_OPTIONS } from '@dynamo-ts/frontend';
import { ENGINE_HINTS, ENGINE_KINDS, WORKER_OPTIONS } from '@dynamo-ts/worker-shim';
import type { EngineKind } from '@dynamo-ts/worker-shim';

const SIDES = optionGroup('Run', {
  input: option.string({
    flag: 'in',
    default: 'text',
    help: 'Where requests come from: text (a conversation, or one prompt when it is piped in), stdin, batch:FILE.jsonl, http, dyn://namespace.component.endpoint or none. Written in=text.',
  }),
  output: option.string({
    flag: 'out',
    default: 'echo',
    help: 'What answers: dyn, for the workers that discovery finds, or an engine as in --engine of a worker. Written out=echo.',
  }),
  maxTokens: option.integer({
    flag: 'max-tokens',
    min: 1,
    default: 8192,
    help: 'Longest answer to a prompt of text, stdin and batch.',
  }),
});

const {
  engine: _engine,
  endpoint: _endpoint,
  ...SERVICES
} = { ...FRONTEND_OPTIONS, ...WORKER_OPTIONS };

/** Options of `dynamo run`. */
export const RUN_OPTIONS = {
  ...SIDES,
  ...SERVICES,
  httpHost: { ...FRONTEND_OPTIONS.httpHost, fallback: '127.0.0.1', fallbackText: '127.0.0.1' },
  logFilter: { ...LOGGING_OPTIONS.logFilter, fallback: 'warn', fallbackText: 'warn' },
  migrationLimit: FRONTEND_OPTIONS.migrationLimit,
  systemPort: { ...WORKER_OPTIONS.systemPort, fallback: -1, fallbackText: '-1' },
  gracePeriodMs: { ...SHUTDOWN_OPTIONS.gracePeriodMs, fallback: 0, fallbackText: '0s' },
} as const;

/** Configuration of `dynamo run`. */
export type RunConfig = ConfigOf<typeof RUN_OPTIONS>;

const DYNAMIC = ['dyn', 'auto', 'dynamic'];

/** What answers: an engine of this process, or undefined for workers elsewhere. @throws `config.invalid` for neither */
export function engineOf({ output }: RunConfig): EngineKind | undefined {
  if (DYNAMIC.includes(output)) return undefined;
  const engine = ENGINE_KINDS.find((kind) => kind === output);
  if (engine !== undefined) return engine;
  const hint = Object.hasOwn(ENGINE_HINTS, output) ? `; ${ENGINE_HINTS[output]}` : '';
  throw new DynamoError(
    'config.invalid',
    `there is no output "${output}"; there are ${ENGINE_KINDS.join(', ')} and dyn${hint}`,
  );
}

/** The flag of a word: `in=…`, `out=…`, anything else is the model. */
export function flagOfWord(word: string): string {
  return /^(?:in|out)=/.test(word) ? `--${word}` : `--model-path=${word}`;
}
