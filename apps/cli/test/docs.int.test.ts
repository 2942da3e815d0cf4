/** The generated documents and the definitions in the code are complete both ways. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ERROR_CODES, isErrorCode } from '@dynamo-ts/base';
import { LOADER_OPTIONS } from '@dynamo-ts/config';
import type { Options } from '@dynamo-ts/config';
import { describe, expect, it } from 'vitest';

import { ROOT, SERVICES, catalogueMetrics, generateDocs } from '../src/docs/generate-docs.ts';
import { DOCTOR_OPTIONS } from '../src/doctor/doctor.ts';
import { UP_OPTIONS } from '../src/up/up-options.ts';

interface Source {
  readonly file: string;
  readonly text: string;
}

const SOURCES: readonly Source[] = read(
  globSync('{libs,apps}/*/src/**/*.ts', { cwd: ROOT }).filter(
    (file) => !/\.(test|test-d)\.ts$|-contract\.ts$|\/gen\/|^libs\/testing\//.test(file),
  ),
);
const RUST_SOURCES: readonly Source[] = read(globSync('native/*/**/src/**/*.rs', { cwd: ROOT }));

function read(files: readonly string[]): readonly Source[] {
  return files.map((file) => ({ file, text: readFileSync(join(ROOT, file), 'utf8') }));
}

describe('generated documents', () => {
  it.each([
    'docs/CONFIG.md',
    'docs/METRICS.md',
    'docs/ERRORS.md',
    'libs/config/src/environment-names.ts',
  ])('%s is up to date (npm run docs)', async (path) => {
    const docs = await generateDocs();
    expect(readFileSync(join(ROOT, path), 'utf8')).toBe(docs.get(path));
  });
});

describe('error codes', () => {
  it.each(Object.keys(ERROR_CODES))('%s is used', (code) => {
    const literal = new RegExp(`['"]${code.replace('.', '\\.')}['"]`);
    const users = [...SOURCES, ...RUST_SOURCES].filter(
      ({ file, text }) => !file.endsWith('error-codes.ts') && literal.test(text),
    );
    expect(users.map(({ file }) => file)).not.toEqual([]);
  });

  it('that native code gives are registered', () => {
    const families = [...new Set(Object.keys(ERROR_CODES).map((code) => code.split('.')[0]))];
    const pattern = new RegExp(`"((?:${families.join('|')})\\.[a-z_]+)"`, 'g');
    const used = RUST_SOURCES.flatMap(({ text }) => [...text.matchAll(pattern)]);
    expect(used.length).toBeGreaterThan(0);
    expect(used.map((match) => match[1] ?? '').filter((code) => !isErrorCode(code))).toEqual([]);
  });
});

describe('metrics', () => {
  it('are all recorded somewhere', async () => {
    const unused = (await catalogueMetrics()).filter(({ constant, file }) => {
      const [group = '', key = ''] = constant.split('.');
      const use = new RegExp(`\\b[a-z]*[mM]etrics\\.${key}\\b`);
      // Under another name, or taken apart: the file names the group and, somewhere, the metric.
      const named = new RegExp(`\\b${key}\\b`);
      return !SOURCES.some(
        ({ file: other, text }) =>
          other !== file && (use.test(text) || (text.includes(group) && named.test(text))),
      );
    });
    expect(unused.map(({ constant }) => constant)).toEqual([]);
  });

  it('follow the naming rules: units at the end, _total on counters only, one definition per name', async () => {
    const metrics = await catalogueMetrics();
    const names = metrics.map(({ definition }) => definition.name);
    expect(new Set(names).size).toBe(names.length);
    for (const { definition } of metrics) {
      expect(definition.name).toMatch(/^dynamo_[a-z0-9_]+$/);
      if (definition.name.endsWith('_total')) expect(definition.kind).toBe('counter');
    }
  });

  it('are defined nowhere but in metrics.ts', () => {
    const stray = SOURCES.filter(
      ({ file, text }) =>
        !file.endsWith('/metrics.ts') &&
        /name: ['"`]dynamo_|\.(counter|gauge|histogram)\(\{\s*name\b/.test(text),
    );
    expect(stray.map(({ file }) => file)).toEqual([]);
  });
});

describe('options', () => {
  const all: Readonly<Record<string, Options>> = {
    ...Object.fromEntries(SERVICES.map(({ title, options }) => [title, options])),
    'dynamo up': UP_OPTIONS,
    'dynamo doctor': DOCTOR_OPTIONS,
  };

  it.each(Object.entries(all))('of %s have no flag or environment name twice', (_, options) => {
    const every = Object.values({ ...options, ...LOADER_OPTIONS });
    const flags = every.flatMap(({ flag, aliases = [] }) => [flag, ...aliases]);
    const names = every.flatMap(({ env, envAliases = [] }) => [env, ...envAliases]).filter(Boolean);
    expect(flags.filter((flag, index) => flags.indexOf(flag) !== index)).toEqual([]);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  it('cover every DYN_ variable that the code names', () => {
    const known = new Set(
      Object.values(all)
        .flatMap((options) => Object.values({ ...options, ...LOADER_OPTIONS }))
        .flatMap(({ env, envAliases = [] }) => [env, ...envAliases]),
    );
    const unknown = SOURCES.flatMap(({ file, text }) =>
      [...text.matchAll(/\bDYN_(?:[A-Z0-9]+_)*[A-Z0-9]+\b/g)]
        .filter(([name]) => !known.has(name))
        .map(([name]) => `${file}: ${name}`),
    );
    expect(unknown).toEqual([]);
  });
});
