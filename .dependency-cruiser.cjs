// Dependency direction, held a second time and on the resolved module graph (eslint holds it per import).
// The table of libs is the one in docs/ARCHITECTURE.md.
const LIBS = {
  base: [],
  config: ['base'],
  telemetry: ['base'],
  protocol: ['base'],
  runtime: ['base', 'protocol', 'telemetry'],
  kv: ['base', 'protocol'],
  sim: ['base', 'protocol'],
  openai: ['base', 'protocol'],
  preprocess: ['base', 'protocol', 'openai', 'telemetry'],
  routing: ['base', 'protocol', 'telemetry', 'kv', 'runtime'],
  models: ['base', 'protocol', 'telemetry', 'runtime', 'preprocess'],
  'engine-events': ['base', 'protocol', 'telemetry', 'kv'],
  testing: ['base', 'protocol', 'telemetry', 'runtime'],
};
const TESTS = '\\.test\\.ts$|\\.test-d\\.ts$|\\.(contract|fixture)\\.ts$|/test/';

const libRules = Object.entries(LIBS).map(([lib, allowed]) => ({
  name: `${lib}-imports-only-what-it-may`,
  comment: `libs/${lib} may import ${allowed.join(', ') || 'no other lib'}`,
  severity: 'error',
  from: { path: `^libs/${lib}/`, pathNot: TESTS },
  to: { path: '^(libs|apps)/', pathNot: `^libs/(${[lib, ...allowed].join('|')})/` },
}));

/** Third-party package → folders that may import it. */
const THIRD_PARTY = [
  ['(@grpc|nats|etcd3)', 'libs/(runtime|protocol/src/gen)'],
  ['fastify', '(apps/frontend|libs/telemetry)'],
  ['(prom-client|pino|@opentelemetry)', 'libs/telemetry'],
  ['testcontainers', 'libs/testing'],
  ['zeromq', 'libs/engine-events'],
];

module.exports = {
  forbidden: [
    ...libRules,
    ...THIRD_PARTY.map(([packages, folders]) => ({
      name: `only-${folders}-may-import-${packages}`,
      severity: 'error',
      from: { path: '^(libs|apps)/', pathNot: `^${folders}/|${TESTS}` },
      to: { path: `node_modules/${packages}(/|$)` },
    })),
    {
      name: 'apps-do-not-import-apps',
      comment: 'only the cli composes other services',
      severity: 'error',
      from: { path: '^apps/([^/]+)/', pathNot: '^apps/cli/' },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'only-kv-preprocess-and-sim-import-the-addon',
      severity: 'error',
      from: { path: '^(libs|apps)/', pathNot: `^libs/(kv|preprocess|sim)/|${TESTS}` },
      to: { path: '^native/' },
    },
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'tests-support-stays-in-tests',
      severity: 'error',
      from: { path: '^(libs|apps)/', pathNot: `^libs/testing/|${TESTS}` },
      to: { path: '^libs/testing/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/dist/' },
    tsConfig: { fileName: 'tsconfig.base.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['@dynamo-ts/source', 'import', 'require', 'node', 'default'],
      extensions: ['.ts', '.js', '.cjs', '.mjs', '.json'],
    },
  },
};
