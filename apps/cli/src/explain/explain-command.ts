/** `dynamo explain`: why a request went where it went. */
import { DynamoError } from '@dynamo-ts/base';
import { loadConfig, option, optionGroup } from '@dynamo-ts/config';
import type { Environment } from '@dynamo-ts/config';
import { Decision } from '@dynamo-ts/protocol';

import { fetchDecision, readDecision } from './decision-lookup.ts';
import { explainDecision } from './explanation.ts';
import { renderExplanation } from './render-explanation.ts';

/** Options of `dynamo explain`. */
export const EXPLAIN_OPTIONS = optionGroup('Explain', {
  decision: option.string({
    flag: 'decision',
    help: 'Id of the decision, as in the header x-dynamo-decision-id; may also be given as the first word.',
  }),
  last: option.boolean({ flag: 'last', help: 'The newest decision.' }),
  url: option.string({
    flag: 'url',
    default: 'http://127.0.0.1:8000',
    help: 'A frontend that listens on loopback, or the status server of a frontend or router.',
  }),
  log: option.path({
    flag: 'log',
    help: 'Read a decision log instead of asking a running service.',
  }),
  json: option.boolean({ flag: 'json', help: 'Print the record itself.' }),
});

/** Prints one decision. @throws when there is none, with what to do */
export async function runExplain(input: {
  readonly argv: readonly string[];
  readonly env: Environment;
}): Promise<void> {
  const { config, help } = loadConfig(EXPLAIN_OPTIONS, {
    ...input,
    argv: withFlag(input.argv),
    command: 'dynamo explain',
    summary:
      'Says why a request went to its worker: "dynamo explain ID" or "dynamo explain --last".',
  });
  if (help !== undefined) {
    process.stdout.write(help);
    return;
  }
  const { decision: id, last, url, log } = config;
  if ((id === undefined) !== last)
    throw new DynamoError(
      'config.invalid',
      'name a decision, as the header x-dynamo-decision-id gives it, or ask for the newest with --last',
    );
  const decision = await (log === undefined ? fetchDecision(url, id) : readDecision(log, id));
  process.stdout.write(
    config.json
      ? `${JSON.stringify(Decision.toJSON(decision), undefined, 2)}\n`
      : renderExplanation(explainDecision(decision)),
  );
}

/** The first word, unless it is a flag, is the id. */
function withFlag([first, ...rest]: readonly string[]): readonly string[] {
  if (first === undefined) return [];
  return first.startsWith('-') ? [first, ...rest] : [`--decision=${first}`, ...rest];
}
