/**
 * Whether a process is ready, by the rule of the reference: when endpoints are probed, all probed ones must be ready; when
 * none is, the process starts as `startingStatus` and is ready once an endpoint is served. A process that is shutting down
 * is never ready.
 */

/** Whether something can take requests. */
export type HealthStatus = 'ready' | 'notready';

/** Settings of a {@link HealthState}. */
export interface HealthStateOptions {
  /** Status before an endpoint is served. @default "notready" */
  readonly startingStatus?: HealthStatus | undefined;
}

/** How an endpoint's status comes about. */
export interface EndpointHealthOptions {
  /** A health-check payload is sent to it, so it counts only when the probe says so. @default false */
  readonly probed?: boolean;
}

/** A moment's view of {@link HealthState}. */
export interface HealthSnapshot {
  readonly status: HealthStatus;
  readonly endpoints: Readonly<Record<string, HealthStatus>>;
}

interface EndpointHealth {
  readonly probed: boolean;
  readonly status: HealthStatus;
}

/** Collects what is ready in this process. */
export class HealthState {
  readonly #endpoints = new Map<string, EndpointHealth>();
  readonly #startingStatus: HealthStatus;
  #details: () => Readonly<Record<string, unknown>> = () => ({});
  #closing = false;

  constructor(options: HealthStateOptions = {}) {
    this.#startingStatus = options.startingStatus ?? 'notready';
  }

  /** Records the status of a served endpoint. */
  setEndpoint(name: string, status: HealthStatus, options: EndpointHealthOptions = {}): void {
    const probed = options.probed ?? this.#endpoints.get(name)?.probed ?? false;
    this.#endpoints.set(name, { probed, status });
  }

  /** Forgets an endpoint that is no longer served. */
  removeEndpoint(name: string): void {
    this.#endpoints.delete(name);
  }

  /** What `/health` says besides, for example how far the start has come; JSON values. */
  setDetails(details: () => Readonly<Record<string, unknown>>): void {
    this.#details = details;
  }

  /** What was set by {@link setDetails}, as it is now. */
  details(): Readonly<Record<string, unknown>> {
    return this.#details();
  }

  /** From now on the process is not ready, whatever its endpoints say. */
  markClosing(): void {
    this.#closing = true;
  }

  /** What `/health` answers now. */
  snapshot(): HealthSnapshot {
    const endpoints = Object.fromEntries(
      [...this.#endpoints].map(([name, { status }]) => [name, status]),
    );
    return { status: this.#status(), endpoints };
  }

  #status(): HealthStatus {
    if (this.#closing) return 'notready';
    const all = [...this.#endpoints.values()];
    const probed = all.filter((endpoint) => endpoint.probed);
    if (probed.length > 0) return asStatus(probed.every(isReady));
    return all.length > 0 ? asStatus(all.every(isReady)) : this.#startingStatus;
  }
}

function isReady(endpoint: EndpointHealth): boolean {
  return endpoint.status === 'ready';
}

function asStatus(ready: boolean): HealthStatus {
  return ready ? 'ready' : 'notready';
}
