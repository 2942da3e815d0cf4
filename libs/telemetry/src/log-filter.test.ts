import { DynamoError } from '@dynamo-ts/base';
import { describe, expect, it } from 'vitest';

import { LogFilter } from './log-filter.ts';

describe('LogFilter', () => {
  it('uses info when nothing is said', () => {
    expect(LogFilter.parse('').threshold('frontend')).toBe('info');
  });

  it('takes a default level and levels by target', () => {
    const filter = LogFilter.parse('warn,runtime=debug,frontend.http=off');
    expect(filter.threshold('router')).toBe('warn');
    expect(filter.threshold('runtime')).toBe('debug');
    expect(filter.threshold('frontend')).toBe('warn');
    expect(filter.threshold('frontend.http')).toBe('off');
  });

  it('lets the most specific target win, whatever the order', () => {
    for (const text of ['a=error,a.b=trace', 'a.b=trace,a=error']) {
      const filter = LogFilter.parse(text);
      expect(filter.threshold('a.b.c')).toBe('trace');
      expect(filter.threshold('a.x')).toBe('error');
    }
  });

  it('matches whole segments only', () => {
    expect(LogFilter.parse('run=trace').threshold('runtime')).toBe('info');
  });

  it('treats :: like a dot and ignores case and blanks', () => {
    const filter = LogFilter.parse(' INFO , runtime::discovery = Trace ');
    expect(filter.threshold('runtime.discovery.etcd')).toBe('trace');
    expect(filter.threshold('runtime')).toBe('info');
  });

  it.each(['verbose', 'runtime=loud', '=info', 'a[b]=info', 'info;debug'])(
    'refuses %j and names it',
    (text) => {
      const error = catchError(() => LogFilter.parse(`warn,${text}`));
      expect(error.code).toBe('config.invalid');
      expect(error.message).toContain(text);
    },
  );
});

function catchError(run: () => unknown): DynamoError {
  try {
    run();
  } catch (error) {
    if (error instanceof DynamoError) return error;
  }
  throw new Error('expected a DynamoError');
}
