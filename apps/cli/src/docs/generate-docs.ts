/**
 * The text of docs/CONFIG.md, docs/METRICS.md and docs/ERRORS.md, and the list of all environment variables, from the
 * definitions in the code. `npm run docs` writes them; a test compares what is there with what this gives.
 */
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { ERROR_CODES } from '@dynamo-ts/base';
import { COMMON_OPTIONS, LOADER_OPTIONS, renderMarkdown } from '@dynamo-ts/config';
import type { Options } from '@dynamo-ts/config';
import { FRONTEND_OPTIONS } from '@dynamo-ts/frontend';
import { ROUTER_OPTIONS } from '@dynamo-ts/router';
import type { MetricDefinition } from '@dynamo-ts/telemetry';
import { WORKER_OPTIONS } from '@dynamo-ts/worker-shim';

import { UP_OPTIONS } from '../up/up-options.ts';

/** The repository. */
export const ROOT: string = fileURLToPath(new URL('../../../../', import.meta.url));

const NOTE = '<!-- Generated: change the definitions and run `npm run docs`. -->';

/** The services of CONFIG.md, in the order in which a reader meets them. */
export const SERVICES: readonly { readonly title: string; readonly options: Options }[] = [
  { title: 'dynamo frontend', options: FRONTEND_OPTIONS },
  { title: 'dynamo worker', options: WORKER_OPTIONS },
  { title: 'dynamo router', options: ROUTER_OPTIONS },
];

/** A metric and the constant that defines it. */
export interface CataloguedMetric {
  /** `GROUP.key`, as the code writes it. */
  readonly constant: string;
  /** File below the repository. */
  readonly file: string;
  readonly definition: MetricDefinition;
}

/** Every generated file by its path below the repository. */
export async function generateDocs(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['docs/CONFIG.md', configPage()],
    ['docs/METRICS.md', metricsPage(await catalogueMetrics())],
    ['docs/ERRORS.md', errorsPage()],
    ['libs/config/src/environment-names.ts', environmentNames()],
  ]);
}

/** All metrics of all `metrics.ts` files. */
export async function catalogueMetrics(): Promise<readonly CataloguedMetric[]> {
  const files = globSync('{libs,apps}/*/src/**/metrics.ts', { cwd: ROOT }).sort();
  const metrics: CataloguedMetric[] = [];
  for (const file of files) {
    const module = (await import(pathToFileURL(join(ROOT, file)).href)) as Record<string, unknown>; // checked below
    for (const [group, definitions] of Object.entries(module).sort()) {
      if (!group.endsWith('_METRICS') || typeof definitions !== 'object') continue;
      for (const [key, definition] of Object.entries(definitions ?? {})) {
        if (!isMetricDefinition(definition))
          throw new Error(`${file}: ${group}.${key} is no metric`);
        metrics.push({ constant: `${group}.${key}`, file, definition });
      }
    }
  }
  return metrics;
}

function isMetricDefinition(value: unknown): value is MetricDefinition {
  return typeof value === 'object' && value !== null && 'kind' in value && 'help' in value;
}

function configPage(): string {
  const services = SERVICES.map(
    ({ title, options }) => `## ${title}\n\n${renderMarkdown(without(options, [COMMON_OPTIONS]))}`,
  );
  const known = SERVICES.map(({ options }) => options);
  const own = without(UP_OPTIONS, known);
  return page(
    'Configuration',
    `Every value can be given as a flag, as an environment variable, or in a YAML file (\`--config FILE\`) whose keys are the
flag names; a section named after the service (\`frontend:\`, \`router:\`, \`worker:\`, \`up:\`) applies to it alone. A flag wins
over the environment, which wins over the file, which wins over the default. \`--dump-config-to FILE\` writes every value with
its origin. An unknown flag or key, or an invalid value, stops the process with a message that names where it was written.
A variable that is almost one of these is told at the start; \`dynamo doctor\` lists all that begin with \`DYN_\` and are not read.
Durations take units (\`500ms\`, \`10s\`, \`2m\`); without one they count what the name of the variable or the default says.`,
    [
      `## dynamo up\n\nTakes all flags of frontend, router and worker, beside these; some defaults differ.\n\n${renderMarkdown(own)}`,
      ...services,
      `## All services\n\n${renderMarkdown({ ...COMMON_OPTIONS, ...LOADER_OPTIONS })}`,
    ],
  );
}

/** All variables of all services: a service alone does not know those of the others, which may share its environment. */
function environmentNames(): string {
  const sets: readonly Options[] = [
    UP_OPTIONS,
    LOADER_OPTIONS,
    ...SERVICES.map(({ options }) => options),
  ];
  const names = sets
    .flatMap((options) => Object.values(options))
    .flatMap(({ env, envAliases = [] }) => (env === undefined ? envAliases : [env, ...envAliases]));
  const lines = [...new Set(names)].sort().map((name) => `  '${name}',\n`);
  return `// Generated: change the definitions and run \`npm run docs\`.

/** Every environment variable that a service reads. */
export const ENVIRONMENT_NAMES: readonly string[] = [
${lines.join('')}];
`;
}

/** The options that none of the other sets has. */
function without(options: Options, others: readonly Options[]): Options {
  const known = new Set(others.flatMap((other) => Object.values(other)));
  return Object.fromEntries(Object.entries(options).filter(([, option]) => !known.has(option)));
}

function metricsPage(metrics: readonly CataloguedMetric[]): string {
  const sections = Map.groupBy(metrics, ({ file }) => file.split('/')[1] ?? '');
  return page(
    'Metrics',
    `Prometheus text at \`/metrics\` of the frontend's port and of the status server (\`DYN_SYSTEM_PORT\`). \`DYN_METRICS_PREFIX\`
replaces \`dynamo_frontend\`. A metric keeps at most 1,000 label sets apart unless it says otherwise; further ones are folded
into the label value \`other\`. Standard \`process_*\` and \`nodejs_*\` metrics are there too.`,
    [...sections].map(([part, entries]) => {
      const rows = entries.map(({ definition }) => {
        const labels = (definition.labels ?? []).map((label) => `\`${label}\``).join(', ');
        return `| \`${definition.name}\` | ${definition.kind} | ${labels} | ${definition.help.replaceAll('|', '\\|')} |`;
      });
      return `## ${part}\n\n| name | kind | labels | meaning |\n|---|---|---|---|\n${rows.join('\n')}`;
    }),
  );
}

function errorsPage(): string {
  const rows = Object.entries(ERROR_CODES).map(
    ([code, { http, grpc, retryable, inhibits, meaning }]) =>
      `| \`${code}\` | ${http} | ${grpc} | ${retryable ? 'yes' : ''} | ${inhibits ? 'yes' : ''} | ${meaning} |`,
  );
  return page(
    'Errors',
    `Every error has one of these codes. In answers of the OpenAI-compatible routes two have the names that OpenAI's clients
know: \`model_not_found\` and \`context_length_exceeded\`. Retryable: the same request may succeed on another instance or a little later.
Inhibits: the instance that produced it is left alone for a while.`,
    [
      `| code | HTTP | gRPC | retryable | inhibits | meaning |\n|---|---|---|---|---|---|\n${rows.join('\n')}`,
    ],
  );
}

function page(title: string, introduction: string, sections: readonly string[]): string {
  return `${NOTE}\n\n# ${title}\n\n${introduction}\n\n${sections.join('\n\n')}\n`;
}
