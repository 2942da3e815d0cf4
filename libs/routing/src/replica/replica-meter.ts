import type { EndpointPath } from '@dynamo-ts/protocol';
import type { BoundCounter, BoundGauge, MetricsRegistry } from '@dynamo-ts/telemetry';

import { endpointLabels } from '../endpoint-labels.ts';
import { REPLICA_METRICS } from './metrics.ts';

/** What became of booking events. */
type EventOutcome = 'sent' | 'applied' | 'refused';

/** Why a router was asked for everything. */
export type ResyncReason = 'start' | 'gap' | 'failed';

/** Handles of one router's sharing, bound once. */
export class ReplicaMeter {
  readonly #events: Readonly<Record<EventOutcome, BoundCounter>>;
  readonly #resyncs: Readonly<Record<ResyncReason, BoundCounter>>;
  readonly #strideMismatches: BoundCounter;
  readonly #peers: BoundGauge;
  readonly #bookings: BoundGauge;
  /** What the gauges have of this router. */
  #shown = { peers: 0, bookings: 0 };

  constructor(registry: MetricsRegistry, path: EndpointPath) {
    const labels = endpointLabels(path);
    const events = registry.counter(REPLICA_METRICS.eventsTotal);
    const eventsOf = (outcome: EventOutcome) => events.bind({ ...labels, outcome });
    this.#events = {
      sent: eventsOf('sent'),
      applied: eventsOf('applied'),
      refused: eventsOf('refused'),
    };
    const resyncs = registry.counter(REPLICA_METRICS.resyncsTotal);
    const resyncsOf = (reason: ResyncReason) => resyncs.bind({ ...labels, reason });
    this.#resyncs = {
      start: resyncsOf('start'),
      gap: resyncsOf('gap'),
      failed: resyncsOf('failed'),
    };
    this.#strideMismatches = registry.counter(REPLICA_METRICS.strideMismatchesTotal).bind(labels);
    this.#peers = registry.gauge(REPLICA_METRICS.peers).bind(labels);
    this.#bookings = registry.gauge(REPLICA_METRICS.remoteBookings).bind(labels);
    this.#peers.inc(0);
    this.#bookings.inc(0);
  }

  events(outcome: EventOutcome, count: number): void {
    this.#events[outcome].inc(count);
  }

  resync(reason: ResyncReason): void {
    this.#resyncs[reason].inc();
  }

  strideMismatch(): void {
    this.#strideMismatches.inc();
  }

  /** Routers of one endpoint whose blocks differ add up. */
  counted(peers: number, bookings: number): void {
    this.#peers.inc(peers - this.#shown.peers);
    this.#bookings.inc(bookings - this.#shown.bookings);
    this.#shown = { peers, bookings };
  }
}
