import { describe, expect, it } from 'vitest';

import { Admission } from './admission.ts';

describe('Admission', () => {
  it('is idle when the last request has given its place back, once or twice', async () => {
    const admission = new Admission();
    await admission.idle();
    const [one, two] = [admission.admit(() => undefined), admission.admit(() => undefined)];
    let idle = false;
    const waiting = admission.idle().then(() => (idle = true));
    one.release();
    one.release();
    await Promise.resolve();
    expect([idle, admission.active]).toEqual([false, 1]);
    two.release();
    await waiting;
  });

  it('refuses new requests with runtime.closed and lets admitted ones go on', () => {
    const admission = new Admission();
    using _place = admission.admit(() => undefined);
    admission.refuse();
    expect(() => admission.admit(() => undefined)).toThrow(
      expect.objectContaining({ code: 'runtime.closed' }),
    );
    expect(admission.active).toBe(1);
  });

  it('kills what still runs', () => {
    const admission = new Admission();
    const killed: number[] = [];
    admission.admit(() => killed.push(1));
    admission.admit(() => killed.push(2)).release();
    admission.killAll();
    expect(killed).toEqual([1]);
  });
});
