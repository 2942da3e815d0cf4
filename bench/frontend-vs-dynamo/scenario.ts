/** One kind of load. */
export interface Scenario {
  readonly name: string;
  /** Requests in flight. */
  readonly concurrency: number;
  readonly requests: number;
  /** Prompt length in words, about as many tokens. */
  readonly promptWords: number;
  /** Words of the prompt that several requests share. */
  readonly sharedWords?: number;
  readonly outputTokens: number;
  readonly stream: boolean;
  /** What the processor time of the frontend is divided by. */
  readonly per: 'token' | 'request';
  /** Requests that are sent first and not counted. @default a quarter of them, at least one per place in flight */
  readonly warmup?: number;
  /** Each round meets processes that have just started and answered nothing but the request that found them ready. */
  readonly fresh?: boolean;
}

/** Short answers to clients that all ask at once. */
const BURST = { promptWords: 32, outputTokens: 64, stream: true, per: 'request' } as const;

/** The loads that the budgets name. */
export const SCENARIOS: readonly Scenario[] = [
  {
    ...BURST,
    name: 'first-burst-32',
    concurrency: 32,
    requests: 32,
    warmup: 0,
    fresh: true,
  },
  {
    ...BURST,
    name: 'burst-32',
    concurrency: 32,
    requests: 32,
    warmup: 640,
  },
  {
    ...BURST,
    name: 'burst-128',
    concurrency: 128,
    requests: 128,
    warmup: 640,
  },
  {
    name: 'stream-32',
    concurrency: 32,
    requests: 192,
    promptWords: 32,
    outputTokens: 512,
    stream: true,
    per: 'token',
  },
  {
    name: 'stream-128',
    concurrency: 128,
    requests: 512,
    promptWords: 32,
    outputTokens: 512,
    stream: true,
    per: 'token',
  },
  {
    name: 'short-request',
    concurrency: 16,
    requests: 2000,
    promptWords: 32,
    outputTokens: 16,
    stream: false,
    per: 'request',
  },
  {
    name: 'prompt-1024',
    concurrency: 8,
    requests: 600,
    promptWords: 1024,
    outputTokens: 1,
    stream: true,
    per: 'request',
  },
  {
    name: 'prompt-8192',
    concurrency: 4,
    requests: 120,
    promptWords: 8192,
    outputTokens: 1,
    stream: true,
    per: 'request',
  },
  {
    name: 'prompt-8192-seen',
    concurrency: 4,
    requests: 200,
    promptWords: 8192,
    sharedWords: 8160,
    outputTokens: 1,
    stream: true,
    per: 'request',
  },
];
