/** What a check found. */
export interface Finding {
  /** `missing` fails the doctor; `absent` is something optional that is not there. */
  readonly status: 'ok' | 'absent' | 'missing';
  readonly detail: string;
}

/** One thing that the doctor looks at. */
export interface Check {
  readonly name: string;
  readonly run: () => Promise<Finding>;
}

/** Found. */
export function ok(detail: string): Finding {
  return { status: 'ok', detail };
}

/** Not there, and only some uses need it. */
export function absent(detail: string): Finding {
  return { status: 'absent', detail };
}

/** Not there, and nothing works without it. */
export function missing(detail: string): Finding {
  return { status: 'missing', detail };
}
