import { spawnSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';

import { DynamoError } from '@dynamo-ts/base';
import { describe, expect, it } from 'vitest';

import { createLogger } from './create-logger.ts';
import type { LoggerOptions } from './create-logger.ts';

function capture(options: Partial<LoggerOptions>) {
  const lines: string[] = [];
  const logger = createLogger({
    service: 'frontend',
    destination: { write: (line) => void lines.push(line) },
    ...options,
  });
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? '') as Record<string, unknown> };
}

describe('createLogger as JSON lines', () => {
  it('writes time with microseconds, level, target, message and fields', () => {
    const { logger, last } = capture({ jsonl: true });
    logger.info('request ended', { status: 200, worker_id: 18446744073709551615n });
    expect(last()).toMatchObject({
      level: 'INFO',
      target: 'frontend',
      message: 'request ended',
      status: 200,
    });
    expect(last()['time']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    const written = Date.parse(String(last()['time']));
    expect(Math.abs(written - Date.now())).toBeLessThan(5000);
  });

  it('writes 64-bit ids without loss', () => {
    const { logger, lines } = capture({ jsonl: true });
    logger.info('chosen', { worker_id: 18446744073709551615n });
    expect(lines[0]).toContain('"worker_id":18446744073709551615');
  });

  it('carries the fields of a child, each once, newest wins', () => {
    const { logger, lines, last } = capture({ jsonl: true });
    const request = logger
      .child({ trace_id: 'a', target: 'frontend.http' })
      .child({ trace_id: 'b' });
    request.warn('slow', { span_id: 'c' });
    expect(last()).toMatchObject({ target: 'frontend.http', trace_id: 'b', span_id: 'c' });
    expect(lines[0]?.match(/"target"/g)).toHaveLength(1);
    expect(lines[0]?.match(/"trace_id"/g)).toHaveLength(1);
  });

  it('writes errors with code, details, stack and causes', () => {
    const { logger, last } = capture({ jsonl: true });
    const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    const error = new DynamoError('transport.cannot_connect', 'no way', {
      cause,
      details: { port: 1 },
    });
    logger.error('cannot connect', { error });
    expect(last()['error']).toMatchObject({
      error_type: 'DynamoError',
      code: 'transport.cannot_connect',
      message: 'no way',
      details: { port: 1 },
      cause: { code: 'ECONNREFUSED', message: 'refused' },
    });
    expect(last()['error']).toHaveProperty('stack');
  });

  it('drops what the filter excludes, by target', () => {
    const { logger, lines } = capture({
      jsonl: true,
      filter: 'warn,frontend.http=debug,quiet=off',
    });
    logger.info('no');
    logger.child({ target: 'quiet' }).error('no');
    expect(lines).toEqual([]);
    const http = logger.child({ target: 'frontend.http' });
    http.debug('yes');
    http.trace('no');
    expect(lines).toHaveLength(1);
    expect(logger.isEnabled('info')).toBe(false);
    expect(http.isEnabled('debug')).toBe(true);
  });
});

describe('createLogger as readable text', () => {
  it('writes one line with level, target, message and quoted fields', () => {
    const { logger, lines } = capture({});
    logger.info('model is served', { model: 'my model', workers: 2 });
    expect(lines[0]).toMatch(
      /^\d{4}-\S+Z {2}INFO frontend: model is served model="my model" workers=2\n$/,
    );
  });

  it('keeps the stack of a warning for debugging', () => {
    const error = new DynamoError('transport.disconnected', 'gone', { cause: new Error('reset') });
    for (const filter of ['info', 'debug']) {
      const { logger, lines } = capture({ filter });
      logger.warn('connection lost', { error, peer: 'a' });
      expect(lines[0]).toContain('error="transport.disconnected: gone" peer=a\n');
      expect(lines[0]?.includes('    at ')).toBe(filter === 'debug');
    }
  });

  it('says in one line that a disk is full, and what to do', () => {
    const { logger, lines } = capture({ filter: 'debug' });
    try {
      writeFileSync('/dev/full', 'text');
    } catch (error) {
      logger.error('decisions cannot be logged', { path: 'log.ndjson', error });
    }
    expect(lines[0]).toMatch(
      /error="ENOSPC: no space left on device, write; free space on that disk, or name another place"\n$/,
    );
  });

  it('does not repeat a code that begins the message', () => {
    const { logger, lines } = capture({});
    for (const message of ['ENOSPC: no space left', 'ENOSPC']) {
      logger.warn('cannot write', { error: Object.assign(new Error(message), { code: 'ENOSPC' }) });
      expect(lines.at(-1)?.split('ENOSPC')).toHaveLength(2);
    }
  });

  it('puts code and message of an error in the line and its stack below', () => {
    const { logger, lines } = capture({});
    logger.error('failed', { error: new DynamoError('backend.error', 'engine said no') });
    expect(lines[0]).toContain('error="backend.error: engine said no"');
    expect(lines[0]).toMatch(/\n {4}at /);
  });

  it('can show local time with its offset', () => {
    const { logger, lines } = capture({ localTime: true });
    logger.info('hello');
    const time = lines[0]?.split(' ')[0] ?? '';
    expect(time).toMatch(/\.\d{6}[+-]\d\d:\d\d$/);
    expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(5000);
  });
});

it('lets a service go on whose log is on a full disk', () => {
  const source = new URL('create-logger.ts', import.meta.url).href;
  const script = `
    import { createLogger } from '${source}';
    const logger = createLogger({ service: 'frontend' });
    for (let line = 0; line < 3; line++) logger.info('a line');
    setTimeout(() => process.stdout.write('still here'), 1);
  `;
  const full = openSync('/dev/full', 'w');
  const options = ['--conditions=@dynamo-ts/source', '--input-type=module', '--eval', script];
  const ran = spawnSync(process.execPath, options, { stdio: ['ignore', 'pipe', full] });
  closeSync(full);
  expect(ran.stdout.toString()).toBe('still here');
  expect(ran.status).toBe(0);
});
