/**
 * Time of one route decision and of a request's whole routing, with and without a record of it.
 *
 *     npm run route-decision -w @dynamo-ts/bench -- [--workers 64] [--tokens 16384] [--decisions 20000]
 *
 * The fleet is busy: every worker holds 24 prompts of the given length that begin with one of 32 shared prefixes, and has
 * 8 requests under way. Every 512 decisions recording goes on or off.
 */
import { parseArgs } from 'node:util';

import { ACTIVE_PER_WORKER, BenchFleet } from './fleet.ts';
import { nativeDecisions } from './native-decisions.ts';
import { report } from './times.ts';
import { wholeRoutes } from './whole-routes.ts';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '64' },
    tokens: { type: 'string', default: '16384' },
    decisions: { type: 'string', default: '20000' },
  },
});
const workers = Number(values.workers);
const tokens = Number(values.tokens);
const options = {
  decisions: Number(values.decisions),
  active: workers * ACTIVE_PER_WORKER,
  turn: 512,
};

console.log(`${workers} workers, prompts of ${tokens} tokens`);
await using fleet = new BenchFleet({ workers, tokens });
report('decision', await nativeDecisions(fleet, options));
report('routing as a whole', await wholeRoutes(fleet, options));
