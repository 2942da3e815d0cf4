/**
 * The frontend's own limits (RF 2.3): requests of one model, answers of all models that it works on, and streams that it
 * has open to workers. They are looked at before a prompt is; what has passed them is not refused later, so that the last
 * two may be exceeded by as many answers as a request has.
 */
import { DynamoError } from '@dynamo-ts/base';
import type { BoundGauge, Counter, MetricsRegistry } from '@dynamo-ts/telemetry';

import type { FrontendConfig } from './config.ts';
import { FRONTEND_METRICS } from './metrics.ts';

/** Limits of {@link AdmissionGates}; undefined ones are off. */
export type AdmissionLimits = Pick<
  FrontendConfig,
  'requestConcurrencyLimit' | 'requestPlaneConnectionLimit' | 'runtimeTaskLimit'
>;

/** A request that has passed the gates; dispose it once, when the request has ended. */
export interface AdmissionPlace extends Disposable {
  /** The request has this many answers; until it says so, one. */
  setAnswers(count: number): void;
}

/** Collaborators of {@link AdmissionGates}. */
export interface AdmissionView {
  /** Requests that workers have now. */
  readonly openStreams: () => number;
  readonly metrics: MetricsRegistry;
}

type Gate = 'request_concurrency' | 'runtime_task' | 'request_plane_connection';

/** The gates of one frontend. */
export class AdmissionGates {
  readonly #limits: AdmissionLimits;
  readonly #openStreams: () => number;
  readonly #requests = new Map<string, number>();
  readonly #tasks: BoundGauge;
  #answers = 0;
  readonly #rejections: Counter<'gate' | 'model'>;

  constructor(limits: AdmissionLimits, { metrics, openStreams }: AdmissionView) {
    const { requestConcurrencyLimit, requestPlaneConnectionLimit, runtimeTaskLimit } = limits;
    this.#limits = limits;
    this.#openStreams = openStreams;
    this.#tasks = metrics.gauge(FRONTEND_METRICS.admissionGateUsed).bind({ gate: 'runtime_task' });
    this.#tasks.set(0);
    this.#rejections = metrics.counter(FRONTEND_METRICS.admissionRejectionTotal);
    setLimit(metrics, 'request_concurrency', requestConcurrencyLimit);
    setLimit(metrics, 'runtime_task', runtimeTaskLimit);
    setLimit(metrics, 'request_plane_connection', requestPlaneConnectionLimit);
  }

  /** Takes a place for a request. @throws `capacity.frontend_limit` when a limit is reached */
  enter(model: string): AdmissionPlace {
    const requests = this.#requests.get(model) ?? 0;
    this.#check(model, requests);
    this.#requests.set(model, requests + 1);
    let answers = 0;
    const setAnswers = (count: number): void => {
      this.#answers += count - answers;
      this.#tasks.set(this.#answers);
      answers = count;
    };
    setAnswers(1);
    return {
      setAnswers,
      [Symbol.dispose]: () => {
        setAnswers(0);
        this.#leave(model);
      },
    };
  }

  #check(model: string, requests: number): void {
    const {
      requestConcurrencyLimit = Infinity,
      requestPlaneConnectionLimit,
      runtimeTaskLimit = Infinity,
    } = this.#limits;
    if (requests >= requestConcurrencyLimit)
      this.#refuse('request_concurrency', model, `${requests} requests of ${model}`);
    if (this.#answers >= runtimeTaskLimit)
      this.#refuse('runtime_task', model, `${this.#answers} answers`);
    if (requestPlaneConnectionLimit === undefined) return;
    const streams = this.#openStreams();
    if (streams >= requestPlaneConnectionLimit)
      this.#refuse('request_plane_connection', model, `${streams} streams to workers`);
  }

  #refuse(gate: Gate, model: string, what: string): never {
    this.#rejections.inc({ gate, model });
    throw new DynamoError(
      'capacity.frontend_limit',
      `the frontend has ${what}, and may have no more`,
    );
  }

  #leave(model: string): void {
    const left = (this.#requests.get(model) ?? 0) - 1;
    if (left > 0) this.#requests.set(model, left);
    else this.#requests.delete(model);
  }
}

function setLimit(metrics: MetricsRegistry, gate: Gate, limit: number | undefined): void {
  if (limit !== undefined)
    metrics.gauge(FRONTEND_METRICS.admissionGateLimit).bind({ gate }).set(limit);
}
