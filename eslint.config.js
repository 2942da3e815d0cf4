// Lint rules: the limits of docs/STYLE.md. Size and complexity limits count code lines only.
import nx from '@nx/eslint-plugin';
import prettier from 'eslint-config-prettier';
import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import importX from 'eslint-plugin-import-x';
import jsdoc from 'eslint-plugin-jsdoc';
import tseslint from 'typescript-eslint';

/** What each lib may import, by its scope tag; the same table as docs/ARCHITECTURE.md. */
const LIBS = {
  base: [],
  config: ['base'],
  telemetry: ['base'],
  protocol: ['base'],
  runtime: ['base', 'protocol', 'telemetry'],
  kv: ['base', 'protocol', 'native'],
  sim: ['base', 'protocol', 'native'],
  openai: ['base', 'protocol'],
  preprocess: ['base', 'protocol', 'openai', 'native'],
  routing: ['base', 'protocol', 'telemetry', 'kv', 'runtime'],
  models: ['base', 'protocol', 'telemetry', 'runtime', 'preprocess'],
  'engine-events': ['base', 'protocol', 'telemetry', 'kv'],
  testing: ['base', 'protocol', 'telemetry', 'runtime'],
  native: [],
};
const SERVICES = ['frontend', 'router', 'worker-shim'];
const APP_LIBS = Object.keys(LIBS).filter((lib) => lib !== 'native');

/** Third-party packages that only some folders may import. */
const THIRD_PARTY = [
  { packages: ['@grpc/*', 'nats', 'etcd3'], only: ['libs/runtime'] },
  { packages: ['fastify'], only: ['apps/frontend', 'libs/telemetry'] },
  { packages: ['prom-client', 'pino', '@opentelemetry/*'], only: ['libs/telemetry'] },
  { packages: ['testcontainers'], only: ['libs/testing'] },
  { packages: ['zeromq'], only: ['libs/engine-events'] },
];

const scope = (name) => `scope:${name}`;
const mayImport = (from, to) => ({
  sourceTag: scope(from),
  onlyDependOnLibsWithTags: to.map(scope),
});

const FOLDERS = [
  ...Object.keys(LIBS).map((lib) => `libs/${lib}`),
  ...[...SERVICES, 'cli'].map((app) => `apps/${app}`),
];

/** One rule per folder, because a later entry of a rule replaces an earlier one. */
function restrictedImports(folder) {
  const patterns = THIRD_PARTY.filter(({ only }) => !only.includes(folder)).map(
    ({ packages, only }) => ({
      group: packages,
      message: `Only ${only.join(' and ')} may import this package.`,
    }),
  );
  return {
    files: [`${folder}/src/**/*.ts`],
    rules: { 'no-restricted-imports': ['error', { patterns }] },
  };
}

export default tseslint.config(
  { ignores: ['**/dist/**', '**/gen/**', '**/node_modules/**', 'native/**', '.nx/**'] },
  ...tseslint.configs.strictTypeChecked.map((config) => ({ ...config, files: ['**/*.ts'] })),
  ...tseslint.configs.stylisticTypeChecked.map((config) => ({ ...config, files: ['**/*.ts'] })),
  {
    files: ['**/*.ts'],
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['vitest.config.ts'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    plugins: { '@nx': nx, 'import-x': importX, jsdoc },
    settings: { 'import-x/resolver-next': [createTypeScriptImportResolver()] },
    rules: {
      '@nx/enforce-module-boundaries': [
        'error',
        {
          enforceBuildableLibDependency: false,
          depConstraints: [
            ...Object.entries(LIBS).map(([from, to]) => mayImport(from, [...to, 'testing'])),
            ...SERVICES.map((from) => mayImport(from, APP_LIBS)),
            mayImport('cli', [...APP_LIBS, ...SERVICES]),
            mayImport('bench', [...APP_LIBS, 'native']),
            mayImport('e2e', APP_LIBS),
            mayImport('example', [
              'base',
              'config',
              'telemetry',
              'protocol',
              'runtime',
              'routing',
              'sim',
              'models',
              'testing',
              // The library form of the frontend; programs of users import it, too.
              'frontend',
            ]),
          ],
        },
      ],
      'import-x/no-cycle': 'error',
      'import-x/no-default-export': 'error',
      'max-lines': ['error', { max: 350, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      'max-params': ['error', 4],
      'max-depth': ['error', 4],
      complexity: ['error', 12],
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'Only libs/config and main.ts read it.' },
      ],
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/prefer-nullish-coalescing': [
        'error',
        { ignorePrimitives: { string: true } },
      ],
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'jsdoc/require-jsdoc': [
        'error',
        {
          publicOnly: true,
          require: { FunctionDeclaration: true, ClassDeclaration: true, MethodDefinition: false },
          contexts: [
            'ExportNamedDeclaration > TSInterfaceDeclaration',
            'ExportNamedDeclaration > TSTypeAliasDeclaration',
            'ExportNamedDeclaration > VariableDeclaration',
          ],
        },
      ],
      'jsdoc/require-description': 'error',
    },
  },
  ...FOLDERS.map(restrictedImports),
  {
    files: [
      '**/*.test.ts',
      '**/*.contract.ts',
      '**/*.test-d.ts',
      '**/test/**/*.ts',
      'libs/testing/**/*.ts',
      'bench/**/*.ts',
      'e2e/**/*.ts',
      'examples/**/*.ts',
    ],
    rules: {
      'max-lines-per-function': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: [
      'examples/**',
      'libs/config/src/**/*.ts',
      '**/src/main.ts',
      'libs/testing/**',
      'bench/**',
      'e2e/**',
      '**/*.test.ts',
    ],
    rules: { 'no-restricted-properties': 'off' },
  },
  { files: ['**/*.config.ts'], rules: { 'import-x/no-default-export': 'off' } },
  prettier,
);
