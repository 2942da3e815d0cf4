/**
 * The life of one request across hops: its id and two signals, stop and kill (RF 2.1).
 *
 * Stop asks to finish what is queued; kill drops everything. Kill implies stop, a killed context is never lowered back
 * to stopped, and a child linked late takes the state its parent already has.
 */
import { AbortReasonError, abortReasonOf, createRequestId } from '@dynamo-ts/base';
import type { AbortReason, RequestId } from '@dynamo-ts/base';
import { extractTraceContext } from '@dynamo-ts/telemetry';
import type { TraceContext } from '@dynamo-ts/telemetry';

/** What a {@link Context} starts from. */
export interface ContextOptions {
  /** @default a fresh UUID */
  readonly id?: RequestId;
  /** Trace context and request metadata that travel with the request. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Request id, metadata, and the stop and kill signals that link a request's hops. */
export class Context {
  readonly id: RequestId;
  #headers: Readonly<Record<string, string>>;
  readonly #stop = new AbortController();
  readonly #kill = new AbortController();
  readonly #children = new Set<Context>();
  #stoppedUnixMs: number | undefined;

  constructor(options: ContextOptions = {}) {
    this.id = options.id ?? createRequestId();
    this.#headers = options.headers ?? {};
  }

  /** Trace context and metadata that travel with the request to the next hop. */
  get headers(): Readonly<Record<string, string>> {
    return this.#headers;
  }

  /** The span that requests made with this context belong to. */
  get trace(): TraceContext | undefined {
    return extractTraceContext(this.#headers);
  }

  /** Adds headers for the next hop, for example those of a span. */
  addHeaders(headers: Readonly<Record<string, string>>): void {
    this.#headers = { ...this.#headers, ...headers };
  }

  /** Aborted by stop and by kill. */
  get stopped(): AbortSignal {
    return this.#stop.signal;
  }

  /** Aborted by kill only. */
  get killed(): AbortSignal {
    return this.#kill.signal;
  }

  /**
   * When the request was first given up, in Unix milliseconds: for a client that left, when its connection closed, however
   * many hops away. Undefined while it goes on.
   */
  get stoppedUnixMs(): number | undefined {
    return this.#stoppedUnixMs;
  }

  isStopped(): boolean {
    return this.#stop.signal.aborted || this.#kill.signal.aborted;
  }

  isKilled(): boolean {
    return this.#kill.signal.aborted;
  }

  /**
   * Asks the engine to stop; items already queued are still delivered. Idempotent.
   *
   * @param sinceUnixMs when that was decided, for a hop that learns of it later
   */
  stopGenerating(reason: AbortReason = 'superseded', sinceUnixMs: number = Date.now()): void {
    for (const child of this.#children) child.stopGenerating(reason, sinceUnixMs);
    this.#stoppedUnixMs ??= sinceUnixMs;
    if (!this.isStopped()) this.#stop.abort(new AbortReasonError(reason));
  }

  /** Drops everything: streams end at once. Idempotent. `sinceUnixMs` as for {@link stopGenerating}. */
  kill(reason: AbortReason = 'client-gone', sinceUnixMs: number = Date.now()): void {
    for (const child of this.#children) child.kill(reason, sinceUnixMs);
    this.#stoppedUnixMs ??= sinceUnixMs;
    if (!this.isKilled()) this.#kill.abort(new AbortReasonError(reason));
    if (!this.#stop.signal.aborted) this.#stop.abort(this.#kill.signal.reason);
  }

  /** A context with the same id that later receives this one's stop and kill. Release it when its work is done. */
  child(headers: Readonly<Record<string, string>> = this.headers): Context {
    const child = new Context({ id: this.id, headers });
    this.linkChild(child);
    return child;
  }

  /** Passes present and later stop and kill on to `child`. */
  linkChild(child: Context): void {
    this.#children.add(child);
    if (this.isKilled()) child.kill(abortReasonOf(this.killed), this.#stoppedUnixMs);
    else if (this.isStopped())
      child.stopGenerating(abortReasonOf(this.stopped), this.#stoppedUnixMs);
  }

  /** Ends the link to a child whose work is done. */
  unlinkChild(child: Context): void {
    this.#children.delete(child);
  }
}
