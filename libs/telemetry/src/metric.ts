/** The three kinds of metric. A bound handle skips the label lookup; use one wherever a value is recorded per token. */
import type { LabelsOf } from './metric-spec.ts';
import type { SeriesTable } from './series-table.ts';

/** One line of a scrape. */
export interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** A value that accumulates in a cell. */
export interface NumberCell {
  value: number;
}

/** Counts of a histogram: per bucket, not cumulative, the last one for +Inf. */
export interface HistogramCell {
  readonly counts: Float64Array;
  sum: number;
}

/** A counter of one label set. */
export interface BoundCounter {
  inc(by?: number): void;
}

/** A gauge of one label set. */
export interface BoundGauge {
  set(value: number): void;
  inc(by?: number): void;
  dec(by?: number): void;
}

/** A histogram of one label set. */
export interface BoundHistogram {
  /** Records a value, `times` times. */
  observe(value: number, times?: number): void;
}

/** Counts events; only grows. */
export class Counter<Name extends string = never> {
  readonly #table: SeriesTable<NumberCell>;

  constructor(table: SeriesTable<NumberCell>) {
    this.#table = table;
  }

  /** Adds to the count. */
  inc(labels?: LabelsOf<Name>, by = 1): void {
    this.#table.cell(labels).value += by;
  }

  /** A handle for one label set. */
  bind(labels: LabelsOf<Name>): BoundCounter {
    const cell = this.#table.cell(labels);
    return { inc: (by = 1) => void (cell.value += by) };
  }

  /** Forgets a label set, for example that of a worker that left. */
  remove(labels: LabelsOf<Name>): void {
    if (labels !== undefined) this.#table.remove(labels);
  }

  /** The lines of a scrape. */
  *samples(): Iterable<Sample> {
    for (const { labels, cell } of this.#table.all()) yield { labels, value: cell.value };
  }
}

/** A value that goes up and down. */
export class Gauge<Name extends string = never> {
  readonly #table: SeriesTable<NumberCell>;

  constructor(table: SeriesTable<NumberCell>) {
    this.#table = table;
  }

  /** Sets the value. */
  set(labels: LabelsOf<Name>, value: number): void {
    this.#table.cell(labels).value = value;
  }

  /** Adds to the value. */
  inc(labels?: LabelsOf<Name>, by = 1): void {
    this.#table.cell(labels).value += by;
  }

  /** Subtracts from the value. */
  dec(labels?: LabelsOf<Name>, by = 1): void {
    this.#table.cell(labels).value -= by;
  }

  /** A handle for one label set. */
  bind(labels: LabelsOf<Name>): BoundGauge {
    const cell = this.#table.cell(labels);
    return {
      set: (value) => void (cell.value = value),
      inc: (by = 1) => void (cell.value += by),
      dec: (by = 1) => void (cell.value -= by),
    };
  }

  /** Forgets a label set, for example that of a worker that left. */
  remove(labels: LabelsOf<Name>): void {
    if (labels !== undefined) this.#table.remove(labels);
  }

  /** Forgets a label set that several add to when no part is left; whoever adds to it later has it again. */
  removeZero(labels: LabelsOf<Name>): void {
    if (labels !== undefined && this.#table.tryCell(labels)?.value === 0)
      this.#table.remove(labels);
  }

  /** The lines of a scrape. */
  *samples(): Iterable<Sample> {
    for (const { labels, cell } of this.#table.all()) yield { labels, value: cell.value };
  }
}

/** Counts values by bucket. */
export class Histogram<Name extends string = never> {
  readonly #name: string;
  readonly #buckets: readonly number[];
  readonly #table: SeriesTable<HistogramCell>;

  constructor(name: string, buckets: readonly number[], table: SeriesTable<HistogramCell>) {
    this.#name = name;
    this.#buckets = buckets;
    this.#table = table;
  }

  /** Records a value. */
  observe(labels: LabelsOf<Name>, value: number): void {
    this.#record(this.#table.cell(labels), value, 1);
  }

  /** A handle for one label set. */
  bind(labels: LabelsOf<Name>): BoundHistogram {
    const cell = this.#table.cell(labels);
    return { observe: (value, times = 1) => this.#record(cell, value, times) };
  }

  /** The lines of a scrape. */
  *samples(): Iterable<Sample> {
    for (const { labels, cell } of this.#table.all()) {
      let cumulative = 0;
      for (const [index, count] of cell.counts.entries()) {
        cumulative += count;
        const le = this.#buckets[index] ?? '+Inf';
        yield { metricName: `${this.#name}_bucket`, labels: { le, ...labels }, value: cumulative };
      }
      yield { metricName: `${this.#name}_sum`, labels, value: cell.sum };
      yield { metricName: `${this.#name}_count`, labels, value: cumulative };
    }
  }

  #record(cell: HistogramCell, value: number, times: number): void {
    const buckets = this.#buckets;
    let index = 0;
    while (index < buckets.length && value > (buckets[index] ?? Infinity)) index++;
    cell.counts[index] = (cell.counts[index] ?? 0) + times;
    cell.sum += value * times;
  }
}
