/**
 * Finds stop strings in streaming text and holds back ("jails") only what could still be the start of one.
 *
 * The stop that ends first wins, the longest of those that end together, so the result does not depend on how the text
 * was cut into tokens. A match counts when its last character arrives while stopping is allowed; one that ends earlier
 * (`min_tokens`) is plain text.
 */

/** Settings of a {@link StopMatcher}. */
export interface StopMatcherOptions {
  /** Stop strings; empty ones are ignored. */
  readonly stops: readonly string[];
  /** Releases the matched string too. */
  readonly includeStop: boolean;
}

/** Watches one answer's text for stop strings. */
export class StopMatcher {
  readonly #stops: readonly string[];
  readonly #firstUnits: ReadonlySet<number>;
  readonly #longest: number;
  readonly #includeStop: boolean;
  #held = '';
  #matched: string | undefined;

  constructor(options: StopMatcherOptions) {
    this.#stops = options.stops.filter((stop) => stop !== '').map((stop) => stop.toWellFormed());
    this.#firstUnits = new Set(this.#stops.map((stop) => stop.charCodeAt(0)));
    this.#longest = Math.max(0, ...this.#stops.map((stop) => stop.length));
    this.#includeStop = options.includeStop;
  }

  /** The stop string that was found. */
  get matched(): string | undefined {
    return this.#matched;
  }

  /** Adds text and gives what may be shown now. After a match everything that may ever be shown has been given. */
  push(text: string, canStop: boolean): string {
    const before = this.#held.length;
    const joined = before === 0 ? text : this.#held + text;
    if (canStop) {
      const match = this.#findMatch(joined, before);
      if (match !== undefined) return this.#finish(joined, match);
    }
    const holdFrom = this.#holdFrom(joined);
    this.#held = holdFrom === joined.length ? '' : joined.slice(holdFrom);
    return holdFrom === joined.length ? joined : joined.slice(0, holdFrom);
  }

  /** Gives what is still held: the text has ended, so it cannot become a stop string. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  #finish(joined: string, match: Match): string {
    this.#matched = match.stop;
    this.#held = '';
    return joined.slice(0, this.#includeStop ? match.end : match.end - match.stop.length);
  }

  /** The stop that ends first after position `after`; the longest of several that end there. */
  #findMatch(text: string, after: number): Match | undefined {
    let best: Match | undefined;
    for (const stop of this.#stops) {
      const start = text.indexOf(stop, Math.max(0, after - stop.length + 1));
      if (start < 0) continue;
      const end = start + stop.length;
      if (
        best === undefined ||
        end < best.end ||
        (end === best.end && stop.length > best.stop.length)
      )
        best = { stop, end };
    }
    return best;
  }

  /** Where the part begins that could still become a stop string; the text's length when there is none. */
  #holdFrom(text: string): number {
    for (
      let start = Math.max(0, text.length - this.#longest + 1);
      start < text.length;
      start += 1
    ) {
      if (this.#firstUnits.has(text.charCodeAt(start)) && this.#isPrefix(text.slice(start)))
        return start;
    }
    return text.length;
  }

  #isPrefix(tail: string): boolean {
    return this.#stops.some((stop) => stop.length > tail.length && stop.startsWith(tail));
  }
}

interface Match {
  readonly stop: string;
  readonly end: number;
}
