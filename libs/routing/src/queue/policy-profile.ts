/**
 * Queue classes of one model: which requests wait together, in which order, and how long their queue may get (RP 4.6).
 *
 * A request belongs to the class that it names, or to the class of its family (named, or the default one) and of the bucket
 * that its uncached prompt tokens fall into.
 */

/** Order inside a class: first come, last come, or cheapest prompt first. */
export type QueuePolicy = 'fcfs' | 'lcfs' | 'wspt';

/** Every {@link QueuePolicy}, default first. */
export const QUEUE_POLICIES: readonly QueuePolicy[] = ['fcfs', 'wspt', 'lcfs'];

/** One queue. */
export interface PolicyClass {
  readonly name: string;
  /** Family and bucket that it serves; both undefined for a class that is chosen by its name only. */
  readonly family?: string | undefined;
  readonly bucket?: string | undefined;
  readonly queuePolicy: QueuePolicy;
  /** Uncached prompt tokens that it may place per turn, against the other classes'. */
  readonly quantum: number;
  /** A rank with more prefill tokens is busy for this class. */
  readonly prefillBusyThreshold?: number | undefined;
  /** The same as a multiple of the rank's `max_num_batched_tokens`. */
  readonly prefillBusyThresholdFrac?: number | undefined;
  /** Share of busy ranks at which requests wait; 1 = all. */
  readonly busyWorkerRatio: number;
  /** Waiting requests per instance; the next one is refused. */
  readonly requestLimitPerWorker?: number | undefined;
  /** Prompt tokens of waiting requests per instance. */
  readonly islTokenLimitPerWorker?: number | undefined;
  /** Cached prompt tokens of waiting requests per instance. */
  readonly cachedTokenLimitPerWorker?: number | undefined;
}

/** Requests with at least so many uncached prompt tokens. */
export interface UncachedBucket {
  readonly minTokens: number;
  readonly name: string;
}

/** All queues of one model. */
export interface PolicyProfile {
  readonly defaultFamily: string;
  /** Ascending; the first one begins at 0. */
  readonly buckets: readonly UncachedBucket[];
  readonly classes: readonly PolicyClass[];
}

/** Quantum of a class that names none: a turn is worth one mid-sized prompt. */
export const DEFAULT_QUANTUM = 2048;

/** What the options without a policy file say. */
export interface DefaultProfileOptions {
  /** `--router-queue-policy`. @default 'fcfs' */
  readonly queuePolicy?: QueuePolicy | undefined;
  /** `--router-queue-threshold`; undefined = nothing is queued. */
  readonly thresholdFrac?: number | undefined;
}

/** One class for everything. */
export function defaultProfile(options: DefaultProfileOptions = {}): PolicyProfile {
  const name = 'default';
  return {
    defaultFamily: name,
    buckets: [{ minTokens: 0, name: 'all' }],
    classes: [
      {
        name,
        family: name,
        bucket: 'all',
        queuePolicy: options.queuePolicy ?? 'fcfs',
        quantum: DEFAULT_QUANTUM,
        prefillBusyThresholdFrac: options.thresholdFrac,
        busyWorkerRatio: 1,
      },
    ],
  };
}

/** Whether requests of a class ever wait. */
export function isQueueing(policyClass: PolicyClass): boolean {
  const { prefillBusyThreshold, prefillBusyThresholdFrac } = policyClass;
  return prefillBusyThreshold !== undefined || prefillBusyThresholdFrac !== undefined;
}
