/**
 * All metrics of one process and their Prometheus text.
 *
 * Recording is ours, because prom-client hashes a label object on every call, which costs more than sending a token;
 * prom-client writes the text and measures process and event loop.
 */
import { DynamoError } from '@dynamo-ts/base';
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Metric as PromMetric } from 'prom-client';

import { DEFAULT_BUCKETS } from './buckets.ts';
import { appendPage } from './metrics-page.ts';
import type { HistogramSpec, MetricSpec } from './metric-spec.ts';
import { Counter, Gauge, Histogram } from './metric.ts';
import type { NumberCell, Sample } from './metric.ts';
import { TELEMETRY_METRICS } from './metrics.ts';
import { DEFAULT_MAX_SERIES, SeriesTable } from './series-table.ts';

/** Prefix of the frontend's metrics that `DYN_METRICS_PREFIX` replaces. */
const FRONTEND_METRICS_PREFIX = 'dynamo_frontend';

/** Content type of {@link MetricsRegistry.text}. */
export const METRICS_CONTENT_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE;

/** Settings of a {@link MetricsRegistry}. */
export interface MetricsRegistryOptions {
  /** Replaces `dynamo_frontend` in names; characters that Prometheus forbids become `_`. */
  readonly prefix?: string | undefined;
  /** Adds `process_*` and `nodejs_*`. @default false */
  readonly processMetrics?: boolean | undefined;
}

type Kind = 'counter' | 'gauge' | 'histogram';

interface Registered {
  readonly kind: Kind;
  readonly labels: string;
  readonly metric: object;
}

/** Makes metrics and writes them out. Making the same metric twice gives the first one back. */
export class MetricsRegistry {
  readonly #registry = new Registry();
  readonly #prefix: string;
  readonly #registered = new Map<string, Registered>();
  readonly #collectors = new Set<() => void>();
  readonly #pages = new Set<() => Promise<string>>();
  #folds: Counter<'metric'> | undefined;

  constructor(options: MetricsRegistryOptions = {}) {
    this.#prefix = sanitizePrefix(options.prefix ?? FRONTEND_METRICS_PREFIX);
    if (options.processMetrics === true) collectDefaultMetrics({ register: this.#registry });
  }

  /** Makes a counter. */
  counter<const Name extends string = never>(spec: MetricSpec<Name>): Counter<Name> {
    return this.#register(
      'counter',
      spec,
      () => new Counter<Name>(this.#table(spec, createNumber)),
    );
  }

  /** Makes a gauge. */
  gauge<const Name extends string = never>(spec: MetricSpec<Name>): Gauge<Name> {
    return this.#register('gauge', spec, () => new Gauge<Name>(this.#table(spec, createNumber)));
  }

  /** Makes a histogram. */
  histogram<const Name extends string = never>(spec: HistogramSpec<Name>): Histogram<Name> {
    const buckets = spec.buckets ?? DEFAULT_BUCKETS;
    const createCell = () => ({ counts: new Float64Array(buckets.length + 1), sum: 0 });
    return this.#register(
      'histogram',
      spec,
      () => new Histogram<Name>(this.#name(spec), buckets, this.#table(spec, createCell)),
    );
  }

  /** Calls `collect` before each scrape, to set gauges that are computed. @returns unsubscribes */
  onCollect(collect: () => void): () => void {
    this.#collectors.add(collect);
    return () => this.#collectors.delete(collect);
  }

  /** Appends another process's page (an engine's own metrics) to each scrape. @returns unsubscribes */
  onPage(page: () => Promise<string>): () => void {
    this.#pages.add(page);
    return () => this.#pages.delete(page);
  }

  /** The page that Prometheus scrapes. A page that fails or repeats a metric never breaks the rest. */
  async text(): Promise<string> {
    for (const collect of this.#collectors) collect();
    const own = await this.#registry.metrics();
    const pages = await Promise.allSettled([...this.#pages].map(async (page) => page()));
    return pages.reduce(
      (text, page) => (page.status === 'fulfilled' ? appendPage(text, page.value) : text),
      own,
    );
  }

  #register<M extends Counter<string> | Gauge<string> | Histogram<string>>(
    kind: Kind,
    spec: MetricSpec<string>,
    create: () => M,
  ): M {
    const name = this.#name(spec);
    const labels = (spec.labels ?? []).join();
    const known = this.#registered.get(name);
    if (known !== undefined) {
      if (known.kind === kind && known.labels === labels) return known.metric as M; // same kind and labels: same type
      throw new DynamoError(
        'runtime.internal',
        `metric ${name} is defined twice with different kind or labels`,
      );
    }
    const metric = create();
    this.#registered.set(name, { kind, labels, metric });
    this.#registry.registerMetric(asPromMetric({ name, kind, help: spec.help, metric }));
    return metric;
  }

  #table<Cell>(spec: MetricSpec<string>, createCell: () => Cell): SeriesTable<Cell> {
    const name = this.#name(spec);
    return new SeriesTable({
      labelNames: spec.labels ?? [],
      maxSeries: spec.maxSeries ?? DEFAULT_MAX_SERIES,
      createCell,
      onFold: () => {
        this.#folds ??= this.counter(TELEMETRY_METRICS.foldedSeriesTotal);
        this.#folds.inc({ metric: name });
      },
    });
  }

  #name(spec: { readonly name: string }): string {
    return spec.name.startsWith(`${FRONTEND_METRICS_PREFIX}_`)
      ? this.#prefix + spec.name.slice(FRONTEND_METRICS_PREFIX.length)
      : spec.name;
  }
}

function createNumber(): NumberCell {
  return { value: 0 };
}

function sanitizePrefix(prefix: string): string {
  const clean = prefix.replace(/[^a-zA-Z0-9_:]/g, '_').replace(/_+$/, '');
  return /^\d/.test(clean) ? `_${clean}` : clean;
}

interface NamedMetric {
  readonly name: string;
  readonly kind: Kind;
  readonly help: string;
  readonly metric: { samples(): Iterable<Sample> };
}

/** What prom-client's registry asks of a metric: its name, and `get()` at each scrape. */
function asPromMetric({ name, kind, help, metric }: NamedMetric): PromMetric {
  const adapter = {
    name,
    help,
    type: kind,
    get: async () =>
      Promise.resolve({ name, help, type: kind, values: [...metric.samples()], aggregator: 'sum' }),
  };
  return adapter as unknown as PromMetric; // the declared type is prom-client's own classes, which it does not require
}
