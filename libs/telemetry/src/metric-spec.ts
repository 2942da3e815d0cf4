/** Values of a metric's labels; every label is given. */
export type Labels<Name extends string> = Readonly<Record<Name, string | number>>;

/** The labels argument: absent for a metric without labels. */
export type LabelsOf<Name extends string> = [Name] extends [never] ? undefined : Labels<Name>;

/** What every kind of metric has. */
export interface MetricSpec<Name extends string = never> {
  /** Full name with the default prefix, for example `dynamo_frontend_requests_total`. */
  readonly name: string;
  /** One sentence; becomes the HELP line and the row in docs/METRICS.md. */
  readonly help: string;
  readonly labels?: readonly Name[];
  /** Label sets that are kept apart; further ones are folded into `other`. @default 1000 */
  readonly maxSeries?: number;
}

/** A histogram's definition. */
export interface HistogramSpec<Name extends string = never> extends MetricSpec<Name> {
  /** Upper bounds, ascending, without +Inf. @default {@link DEFAULT_BUCKETS} */
  readonly buckets?: readonly number[];
}

/** One entry of a metric catalogue. */
export interface MetricDefinition extends HistogramSpec<string> {
  readonly kind: 'counter' | 'gauge' | 'histogram';
}

/**
 * A part's catalogue: `export const X_METRICS = { … } as const`, in a file `metrics.ts`, from
 * which docs/METRICS.md is generated.
 */
export type MetricDefinitions = Readonly<Record<string, MetricDefinition>>;
