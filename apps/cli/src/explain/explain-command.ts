/** `dynamo explain`: why a request went where it went. */
import { DynamoError } from '@dynamo-ts/base';
import {
  COMMON_OPTIONS,
  HTTP_ADDRESS_OPTIONS,
  loadConfig,
  option,
  optionGroup,
} from '@dynamo-ts/config';
import type { ConfigOf, Environment } from '@dynamo-ts/config';
import { Decision } from '@dynamo-ts/protocol';

import { wordsAsFlags } from '../command-words.ts';
import { DecisionReader } from '../decision-reader.ts';
import { pathList } from '../path-list.ts';
import type { DecisionQuery, FoundDecisions } from './decision-query.ts';
import { explainDecision } from './explanation.ts';
import { readDecisions } from './log-lookup.ts';
import { renderExplanation } from './render-explanation.ts';
import { serviceAddresses } from './service-addresses.ts';
import { fetchDecisions } from './service-lookup.ts';

/** Where a service listens, read where it reads it itself. */
const ADDRESS_OPTIONS = optionGroup('Service that is asked', {
  httpHost: {
    ...HTTP_ADDRESS_OPTIONS.httpHost,
    default: '127.0.0.1',
    help: 'Address of the frontend.',
  },
  httpPort: { ...HTTP_ADDRESS_OPTIONS.httpPort, help: 'Port of the frontend.' },
  systemPort: {
    ...COMMON_OPTIONS.systemPort,
    help: 'Port of the status server, which is asked when the frontend does not show decisions; -1 is off.',
  },
});

/** Options of `dynamo explain`. */
export const EXPLAIN_OPTIONS = {
  ...optionGroup('Explain', {
    decisions: option.list({
      flag: 'decision',
      help: 'Ids of decisions, as in the header x-dynamo-decision-id; may also be given as words.',
    }),
    request: option.string({
      flag: 'request',
      help: 'All decisions of one request, as the header x-dynamo-request-id names it: of its choices, and of its moves to other workers.',
    }),
    last: option.boolean({ flag: 'last', help: 'The newest decision.' }),
    url: option.string({
      flag: 'url',
      help: 'Asked instead: a frontend that listens on loopback, or the status server of a frontend or router.',
    }),
    logs: pathList({
      flag: 'log',
      help: 'Read decision logs instead of asking a running service: a file, with its full ones, or a folder of logs.',
    }),
    json: option.boolean({
      flag: 'json',
      help: 'Print the record itself; a list when several are asked for.',
    }),
  }),
  ...ADDRESS_OPTIONS,
};

type ExplainConfig = ConfigOf<typeof EXPLAIN_OPTIONS>;

/** Prints decisions. @throws when one is not there, with what to do */
export async function runExplain(input: {
  readonly argv: readonly string[];
  readonly env: Environment;
}): Promise<void> {
  const { config, help } = loadConfig(EXPLAIN_OPTIONS, {
    ...input,
    argv: wordsAsFlags(input.argv, EXPLAIN_OPTIONS, (word) => `--decision=${word}`),
    command: 'dynamo explain',
    words: '[ID...]',
    summary:
      'Says why a request went to its worker: "dynamo explain ID" or "dynamo explain --last".',
    asksAbout: { services: ['frontend', 'up'], options: ADDRESS_OPTIONS },
  });
  if (help !== undefined) {
    process.stdout.write(help);
    return;
  }
  const query = queryOf(config);
  const { decisions, problem } = await find(config, query);
  if (decisions.length > 0) process.stdout.write(render(decisions, config.json, query));
  if (problem !== undefined) throw problem;
}

function queryOf({ decisions: ids, request, last }: ExplainConfig): DecisionQuery {
  const queries: readonly DecisionQuery[] = [
    ...(ids.length === 0 ? [] : [{ kind: 'ids', ids } as const]),
    ...(request === undefined ? [] : [{ kind: 'request', requestId: request } as const]),
    ...(last ? [{ kind: 'last' } as const] : []),
  ];
  const [query] = queries;
  if (query !== undefined && queries.length === 1) return query;
  throw new DynamoError(
    'config.invalid',
    'name decisions, as the header x-dynamo-decision-id gives them, or a request with --request, or ask for the newest with --last',
  );
}

async function find(config: ExplainConfig, query: DecisionQuery): Promise<FoundDecisions> {
  const { logs } = config;
  if (logs.length === 0) return fetchDecisions(serviceAddresses(config), query);
  const reader = new DecisionReader(logs);
  const found = await readDecisions(reader, query);
  if (reader.complaint !== undefined) process.stderr.write(`${reader.complaint}\n`);
  return found;
}

function render(decisions: readonly Decision[], asJson: boolean, query: DecisionQuery): string {
  if (!asJson)
    return decisions.map((each) => renderExplanation(explainDecision(each))).join('\n\n');
  const records = decisions.map((each) => Decision.toJSON(each));
  const isOne = query.kind === 'last' || (query.kind === 'ids' && query.ids.length === 1);
  return `${JSON.stringify(isOne ? records[0] : records, undefined, 2)}\n`;
}
