/** Thresholds of a `DisaggregatedRouter`. */
export interface DisaggThresholds {
  /** A longer uncached rest of a prompt goes to a prefill worker, in tokens. @default 1000 */
  readonly maxLocalPrefillLength: number;
  /** A queue of this many prompts takes no more. @default 2 */
  readonly maxPrefillQueueSize: number;
}
