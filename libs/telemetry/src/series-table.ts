/**
 * The series of one metric, bounded: label values come from clients (model names), and every new one would be kept for
 * ever. Over the limit a label set is folded into one series whose labels are all `other`, and the fold is counted.
 */

/** Series kept apart when a metric names no limit. */
export const DEFAULT_MAX_SERIES = 1000;

/** Label value of what no longer fits. */
const FOLDED_LABEL = 'other';

/** One series: its labels and whatever the metric accumulates. */
export interface Series<Cell> {
  readonly labels: Readonly<Record<string, string>>;
  readonly cell: Cell;
}

/** Settings of a {@link SeriesTable}. */
export interface SeriesTableOptions<Cell> {
  readonly labelNames: readonly string[];
  readonly maxSeries: number;
  readonly createCell: () => Cell;
  /** Called for each use of a label set that was folded. */
  readonly onFold: () => void;
}

/** Finds or makes the cell of a label set. */
export class SeriesTable<Cell> {
  readonly #options: SeriesTableOptions<Cell>;
  readonly #series = new Map<string, Series<Cell>>();
  #folded: Series<Cell> | undefined;

  constructor(options: SeriesTableOptions<Cell>) {
    this.#options = options;
    if (options.labelNames.length === 0) this.cell(undefined);
  }

  /** The cell of these labels. A missing label counts as empty. */
  cell(labels: Readonly<Record<string, string | number>> | undefined): Cell {
    const key = this.#key(labels);
    const known = this.#series.get(key);
    if (known !== undefined) return known.cell;
    if (this.#series.size >= this.#options.maxSeries) return this.#fold();
    const series = this.#create((name) => String(labels?.[name] ?? ''));
    this.#series.set(key, series);
    return series.cell;
  }

  /** Forgets a series, for example that of a worker that left. */
  remove(labels: Readonly<Record<string, string | number>>): void {
    this.#series.delete(this.#key(labels));
  }

  /** The cell of these labels, if there is one of their own. */
  tryCell(labels: Readonly<Record<string, string | number>>): Cell | undefined {
    return this.#series.get(this.#key(labels))?.cell;
  }

  /** All series, the folded one last. */
  *all(): Iterable<Series<Cell>> {
    yield* this.#series.values();
    if (this.#folded !== undefined) yield this.#folded;
  }

  #fold(): Cell {
    this.#options.onFold();
    this.#folded ??= this.#create(() => FOLDED_LABEL);
    return this.#folded.cell;
  }

  #create(valueOf: (labelName: string) => string): Series<Cell> {
    const { labelNames, createCell } = this.#options;
    return {
      labels: Object.fromEntries(labelNames.map((name) => [name, valueOf(name)])),
      cell: createCell(),
    };
  }

  #key(labels: Readonly<Record<string, string | number>> | undefined): string {
    if (labels === undefined) return '';
    let key = '';
    for (const name of this.#options.labelNames) key += `${labels[name] ?? ''}\u0000`;
    return key;
  }
}
