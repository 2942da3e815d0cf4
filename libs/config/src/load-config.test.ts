import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';

import { COMMON_OPTIONS } from './common-options.ts';
import { writeFlags } from './flags.ts';
import { loadConfig } from './load-config.ts';
import { defineOptions, option, optionGroup } from './option.ts';

const OPTIONS = defineOptions({
  ...optionGroup('HTTP', {
    httpPort: option.integer({
      flag: 'http-port',
      aliases: ['port'],
      short: 'p',
      env: 'DYN_HTTP_PORT',
      min: 0,
      max: 65_535,
      default: 8000,
      help: 'Port to listen on.',
    }),
  }),
  urls: option.list({ flag: 'engine-url', env: 'DYN_ENGINE_URL', help: 'Engines.' }),
  events: option.boolean({
    flag: 'kv-events',
    env: 'DYN_KV_EVENTS',
    default: true,
    help: 'Events.',
  }),
  mode: option.choice({
    flag: 'router-mode',
    env: 'DYN_MODE',
    envAliases: ['DYN_OLD_MODE'],
    choices: ['round-robin', 'random'],
    hints: { kv: 'kv comes later' },
    default: 'round-robin',
    help: 'Mode.',
  }),
  waitMs: option.duration({
    flag: 'wait',
    env: 'DYN_WAIT',
    unit: 's',
    default: 500,
    help: 'Wait.',
  }),
  ratio: option.number({ flag: 'ratio', min: 0, max: 1, help: 'Share.' }),
  name: option.string({ flag: 'name', help: 'Name.' }),
  password: option.string({ flag: 'password', env: 'PASSWORD', secret: true, help: 'Secret.' }),
});

const folder = mkdtempSync(join(tmpdir(), 'config-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

function load(argv: readonly string[] = [], env: Record<string, string> = {}) {
  return loadConfig(OPTIONS, { argv, env, command: 'dynamo frontend', summary: 'Serves HTTP.' });
}

function yaml(text: string): string {
  const path = join(folder, `${Math.random()}.yaml`);
  writeFileSync(path, text);
  return path;
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toMatchObject({ code: 'config.invalid' });
    return (error as Error).message;
  }
  throw new Error('expected an error');
}

describe('loadConfig', () => {
  it('gives defaults with their origin', () => {
    const { config, origins } = load();
    expect(config).toEqual({
      httpPort: 8000,
      urls: [],
      events: true,
      mode: 'round-robin',
      waitMs: 500,
      ratio: undefined,
      name: undefined,
      password: undefined,
    });
    expect(origins.httpPort).toBe('default');
  });

  it('prefers flag to environment to file to default, and says which it was', () => {
    const file = yaml('# comment\nhttp-port: 3\nrouter_mode: RANDOM\nwait: 3\n');
    const { config, origins } = load(['--http-port', '1', '--config', file], {
      DYN_HTTP_PORT: '2',
      DYN_WAIT: '2',
    });
    expect(config).toMatchObject({ httpPort: 1, waitMs: 2000, mode: 'random' });
    expect(origins).toMatchObject({
      httpPort: 'flag --http-port',
      waitMs: 'environment DYN_WAIT',
      mode: `${file}:3`,
      events: 'default',
    });
  });

  it.each([
    [['--http-port', '1'], { httpPort: 1 }],
    [['--http-port=1'], { httpPort: 1 }],
    [['--port', '1'], { httpPort: 1 }],
    [['-p', '1'], { httpPort: 1 }],
    [['--http-port', '1', '--port=2'], { httpPort: 2 }],
    [['--no-kv-events'], { events: false }],
    [['--kv-events=false'], { events: false }],
    [['--no-kv-events', '--kv-events'], { events: true }],
    [['--engine-url', 'a', '--engine-url=b,c'], { urls: ['a', 'b', 'c'] }],
    [['--name=a=b'], { name: 'a=b' }],
    [['--name', '-x'], { name: '-x' }],
    [['--wait', '1.5'], { waitMs: 1500 }],
    [['--wait', '20ms'], { waitMs: 20 }],
    [['--wait', '2m'], { waitMs: 120_000 }],
    [['--ratio', '.5'], { ratio: 0.5 }],
  ])('reads %j', (argv, expected) => {
    expect(load(argv).config).toMatchObject(expected);
  });

  it.each([
    [['--http-prt', '1'], "unknown flag --http-prt; did you mean '--http-port'?"],
    [['--policy', 'cache_aware'], 'unknown flag --policy; workers are chosen by --router-mode'],
    [['--no-system-port'], 'it is for "dynamo frontend", "worker" and "router"'],
    [['-v'], 'levels are set by --log'],
    [['-z'], 'unknown flag -z (--help lists all flags)'],
    [['--http-port'], 'flag --http-port needs a value'],
    [['--http-port', '--name', 'x'], 'flag --http-port needs a value'],
    [['--http-port', 'x'], "flag --http-port: expected a whole number, got 'x'"],
    [['--http-port', '1.5'], 'expected a whole number'],
    [['--http-port', '1e999'], 'expected a whole number'],
    [['--http-port', '99999'], 'must be at most 65535, got 99999'],
    [['--http-port='], "expected a whole number, got ''"],
    [['--ratio', 'NaN'], 'expected a number'],
    [['--ratio', '-1'], 'must be at least 0'],
    [['--router-mode', 'randm'], "did you mean 'random'?"],
    [['--router-mode', 'kv'], 'kv comes later'],
    [['--kv-events=maybe'], 'expected true or false'],
    [['--no-kv-events=true'], 'takes no value'],
    [['--wait', 'soon'], 'expected a duration'],
    [['--name', ''], 'expected a text'],
    [['stray'], "unexpected argument 'stray'"],
    [['--no-name'], 'unknown flag --no-name'],
  ])('refuses %j', (argv, message) => {
    expect(messageOf(() => load(argv))).toContain(message);
  });

  it('has no hint for names that every object has', () => {
    expect(messageOf(() => load(['--router-mode', 'constructor']))).toMatch(/'constructor'$/);
  });

  it('names the environment variable of a wrong value, and reads older names after newer ones', () => {
    expect(messageOf(() => load([], { DYN_HTTP_PORT: 'x' }))).toContain(
      'environment DYN_HTTP_PORT (http-port): expected a whole number',
    );
    expect(load([], { DYN_OLD_MODE: 'random' }).config.mode).toBe('random');
    expect(load([], { DYN_OLD_MODE: 'x', DYN_MODE: 'random' }).config.mode).toBe('random');
  });

  it('treats an empty environment variable as not set', () => {
    expect(load([], { DYN_HTTP_PORT: '', DYN_KV_EVENTS: '' }).config).toMatchObject({
      httpPort: 8000,
      events: true,
    });
  });

  it.each([
    ['http-prt: 1\n', ":1: unknown key 'http-prt'; did you mean 'http-port'?"],
    ['a: 1\n', ":1: unknown key 'a'"],
    ['worker_urls: [a]\n', "unknown key 'worker_urls'; engines are named by --engine-url"],
    ['name: x\n\nhttp-port: x\n', ':3 (http-port): expected a whole number'],
    ['http-port: [1, 2]\n', ':1 (http-port): expected one value, got a list of 2'],
    ['name: [{a: 1}]\n', ":1: 'name' must be a value or a list"],
    ['nonsense: {a: 1}\n', ":1: unknown section 'nonsense'"],
    ['- a\n', 'expected a mapping'],
    ['http-port: 1\na: [\n', ':3: Flow sequence'],
  ])('names file and line of %j', (text, message) => {
    const file = yaml(text);
    const found = messageOf(() => load(['--config', file]));
    expect(found).toContain(file);
    expect(found).toContain(message);
    expect(found).not.toContain('\n');
  });

  it('reads lists, numbers and booleans from YAML as they are written', () => {
    const file = yaml('engine-url: [http://a, "http://b"]\nkv-events: no\nname: 007\nratio: 1.0\n');
    expect(load(['--config', file]).config).toMatchObject({
      urls: ['http://a', 'http://b'],
      events: false,
      name: '007',
      ratio: 1,
    });
  });

  it('lets the section of the service win over the top level and skips those of others', () => {
    const file = yaml('http-port: 1\nrouter:\n  anything: 5\nfrontend:\n  http-port: 2\n');
    const { config, origins } = load([], { DYN_CONFIG: file });
    expect(config.httpPort).toBe(2);
    expect(origins.httpPort).toBe(`${file}:5`);
  });

  it('gives a command that asks about a service what the file says of it, and leaves it the rest', () => {
    const text =
      'no-option: 1\nname: theirs\nwait: 1\nfrontend:\n  http-port: 2\n  other: 3\nexplain:\n  ratio: 1\n';
    const read = (file: string) =>
      loadConfig(OPTIONS, {
        argv: ['--config', file],
        env: {},
        command: 'dynamo explain',
        summary: 'Asks.',
        asksAbout: {
          services: ['up', 'frontend'],
          options: { httpPort: OPTIONS.httpPort, waitMs: OPTIONS.waitMs },
        },
      });
    const { config } = read(yaml(text));
    expect(config).toMatchObject({ name: undefined, waitMs: 1000, httpPort: 2, ratio: 1 });
    expect(messageOf(() => read(yaml('explain:\n  nome: 1\n')))).toContain("did you mean 'name'?");
  });

  it('accepts an empty file and refuses a missing one by name', () => {
    expect(load(['--config', yaml('')]).config.httpPort).toBe(8000);
    expect(messageOf(() => load(['--config', '/nowhere/x.yaml']))).toContain(
      '/nowhere/x.yaml: ENOENT: no such file',
    );
    expect(messageOf(() => load(['--config', folder]))).toContain('EISDIR');
  });

  it('never shows a secret: not in errors, not in dumps', () => {
    expect(messageOf(() => load(['--password', '']))).toBe(
      'flag --password: the value is not valid',
    );
    const path = join(folder, 'dump.json');
    load(['--dump-config-to', path, '--http-port', '7'], { PASSWORD: 'hunter2' });
    const text = readFileSync(path, 'utf8');
    expect(text).not.toContain('hunter2');
    expect(JSON.parse(text)).toMatchObject({
      'http-port': { value: 7, origin: 'flag --http-port' },
      password: { value: '***', origin: 'environment PASSWORD' },
      ratio: { value: null, origin: 'default' },
    });
  });

  it('gives the help text, whatever else is wrong in the environment', () => {
    const { help } = load(['-h'], { DYN_HTTP_PORT: 'x' });
    expect(help).toContain('Usage: dynamo frontend [flags]');
    expect(help).toContain(
      'HTTP:\n  -p, --http-port, --port N\n      Port to listen on. [env DYN_HTTP_PORT, default 8000]',
    );
    expect(help).toContain('--config PATH');
    expect(Math.max(...(help ?? '').split('\n').map((line) => line.length))).toBeLessThanOrEqual(
      100,
    );
  });
});

describe('writeFlags', () => {
  it('writes what is read back as the same configuration', () => {
    const { config } = load(
      [
        '--no-kv-events',
        '--engine-url=a',
        '--engine-url=b',
        '--wait=1500ms',
        '--name=-x y',
        '-p',
        '0',
      ],
      { PASSWORD: 'a=b' },
    );
    expect(load(writeFlags(OPTIONS, config)).config).toEqual(config);
    expect(load(writeFlags(OPTIONS, load().config)).config).toEqual(load().config);
  });
});

describe('COMMON_OPTIONS', () => {
  it('reads the names that users of Dynamo know', () => {
    const env = {
      DYN_STORE_KV: 'file',
      DYN_SYSTEM_PORT: '-1',
      ETCD_ENDPOINTS: 'http://a:1, http://b:2',
      OTEL_EXPORT_ENABLED: '1',
      DYN_LOGGING_JSONL: 'true',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
    };
    const { config } = loadConfig(COMMON_OPTIONS, { argv: [], env, command: 'x', summary: 's' });
    expect(config).toMatchObject({
      discoveryBackend: 'file',
      systemPort: -1,
      etcdEndpoints: ['http://a:1', 'http://b:2'],
      otelExportEnabled: true,
      logJsonl: true,
      otlpProtocol: 'http/protobuf',
    });
  });

  it.each([
    ['DYN_REQUEST_PLANE', 'tcp', 'grpc'],
    ['DYN_EVENT_PLANE', 'zmq', 'direct'],
    ['DYN_DISCOVERY_BACKEND', 'kubernetes', 'etcd'],
  ])('stops at %s=%s with a hint', (name, value, hint) => {
    const run = () =>
      loadConfig(COMMON_OPTIONS, { argv: [], env: { [name]: value }, command: 'x', summary: 's' });
    expect(messageOf(run)).toMatch(new RegExp(`${name}.*${hint}`));
  });

  it('has no flag or environment name twice', () => {
    const all = Object.values(COMMON_OPTIONS);
    const flags = all.flatMap((each) => [each.flag, ...(each.aliases ?? [])]);
    const names = all.flatMap((each) => [each.env, ...(each.envAliases ?? [])]);
    expect(new Set(flags).size).toBe(flags.length);
    expect(new Set(names).size).toBe(names.length);
  });
});
