/**
 * The routers of one endpoint, one for each block size: models whose blocks differ run on workers of their own, as in
 * `SharedRouters`. A router opens when a call means its block size; of an endpoint that is kept, all open as soon as the
 * workers' model cards say the sizes, so that their indexes are there before the first call.
 */
import {
  AbortReasonError,
  DynamoError,
  PUBLIC_MESSAGE,
  deadlineSignal,
  raceAbort,
} from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';

import type { ModelBlocks } from '../kv/fleet/endpoint-models.ts';
import { chooseBlockSize } from './block-choice.ts';
import type { BlockCall, BlockChoice, KnownBlocks } from './block-choice.ts';
import type { EndpointRouter } from './endpoint-router.ts';

/** Makes a router; resolves when it can be asked. */
export type OpenEndpointRouter = (path: EndpointPath, blockSize: number) => Promise<EndpointRouter>;

/** What the workers of an endpoint say about their models; an `EndpointModels` is such. */
export interface FollowedModels extends AsyncDisposable {
  /** Whether what there was at the start has been read. */
  readonly isReady: boolean;
  list(): readonly ModelBlocks[];
  /** Models that workers served and none serves now. */
  gone(): ReadonlySet<string>;
}

/** What a call for an endpoint says. */
export interface EndpointCall extends BlockCall {
  /** It brings a worker with blocks of the size, so that no other need have them. @default false */
  readonly isNew?: boolean | undefined;
  /** Gives up waiting. */
  readonly signal?: AbortSignal | undefined;
}

/** Settings of a {@link RoutedEndpoint}. */
export interface RoutedEndpointOptions {
  readonly path: EndpointPath;
  readonly open: OpenEndpointRouter;
  /** Tokens per block of the only router, whatever callers name. @default as callers and workers say */
  readonly blockSize: number | undefined;
  /** Follows the model cards and tells of every change. */
  readonly follow: (onChange: () => void) => FollowedModels;
  /** Models of engines that were registered by hand. */
  readonly registered: () => readonly ModelBlocks[];
  /** One more router is about to be opened. @throws when that would be too many */
  readonly onOpening: () => void;
  readonly onOpened: (router: EndpointRouter) => void;
  /** A router that is kept could not be opened; it is tried again when the workers change. */
  readonly onFailed: (error: unknown) => void;
}

/** How long a call waits for a worker that says the block size. */
const WAIT_MS = 3000;

/** Engines have blocks of 1 to a few hundred tokens. */
const MOST_BLOCK_TOKENS = 65_536;

const MOST_CHOICES = 1024;

const NOTHING_KNOWN: BlockChoice = { kind: 'nothing-known' };

/** One endpoint. */
export class RoutedEndpoint implements AsyncDisposable {
  readonly name: string;
  readonly #options: RoutedEndpointOptions;
  readonly #models: FollowedModels | undefined;
  /** By block size. */
  readonly #openings = new Map<number, Promise<EndpointRouter>>();
  readonly #opened = new Map<number, EndpointRouter>();
  readonly #closed = new AbortController();
  #known: KnownBlocks | undefined;
  /** What calls mean, as long as nothing changes. */
  readonly #choices = new Map<string, number>();
  #change = Promise.withResolvers<undefined>();
  #waiting = 0;
  #isKept = false;

  constructor(options: RoutedEndpointOptions) {
    this.#options = options;
    this.name = formatEndpointPath(options.path);
    if (options.blockSize === undefined) this.#models = options.follow(() => this.changed());
  }

  /** Routers that are open or about to be. */
  get size(): number {
    return this.#openings.size;
  }

  /** Nobody wants it any more. */
  get isIdle(): boolean {
    return !this.#isKept && this.#waiting === 0 && this.#openings.size === 0;
  }

  /** Those that are open, the smallest blocks first. */
  routers(): readonly EndpointRouter[] {
    return [...this.#opened.values()].toSorted((a, b) => a.blockSize - b.blockSize);
  }

  /**
   * The router that a call means, opening it when it is the first time.
   *
   * @throws `request.invalid` when the call can mean several, or blocks that nobody has; `backend.unavailable` when no
   * worker has said a block size
   */
  async router(call: EndpointCall = {}): Promise<EndpointRouter> {
    this.#waiting += 1;
    try {
      return await raceAbort(this.#open(await this.#blockSize(call)), call.signal);
    } finally {
      this.#waiting -= 1;
    }
  }

  /** A router for each block size that there is. @throws `backend.unavailable` when no worker has said one */
  async all(signal?: AbortSignal): Promise<readonly EndpointRouter[]> {
    const { blockSize: only } = this.#options;
    if (only !== undefined) return [await this.router({ signal })];
    this.#waiting += 1;
    try {
      if (!(await this.#comes(() => this.#sizes().length > 0, signal)))
        throw this.#unavailable('retry later');
      return await raceAbort(Promise.all(this.#sizes().map((size) => this.#open(size))), signal);
    } finally {
      this.#waiting -= 1;
    }
  }

  /** Keeps routers for all its block sizes from now on. @returns those of the first workers, whenever they come */
  async keep(): Promise<readonly EndpointRouter[]> {
    this.#isKept = true;
    const { blockSize } = this.#options;
    if (blockSize !== undefined) return [await this.#open(blockSize)];
    this.changed();
    while (!this.#isReady || this.#sizes().length === 0)
      await raceAbort(this.#change.promise, this.#closed.signal);
    return Promise.all(this.#sizes().map((size) => this.#open(size)));
  }

  /** What is known of its workers has changed. */
  readonly changed = (): void => {
    this.#forgetKnown();
    this.#change.resolve(undefined);
    this.#change = Promise.withResolvers();
    if (!this.#isKept || this.#closed.signal.aborted) return;
    for (const blockSize of this.#sizes()) void this.#openKept(blockSize);
  };

  /** Closes routers with blocks that no worker has, unless a request is in them. */
  closeUnused(): void {
    if (this.#options.blockSize !== undefined) return;
    const said = new Set(this.#blocks().models.map(({ blockSize }) => blockSize));
    for (const [blockSize, router] of this.#opened) {
      if (said.has(blockSize) || isInUse(router)) continue;
      this.#opened.delete(blockSize);
      this.#openings.delete(blockSize);
      this.#forgetKnown();
      void router.close();
    }
  }

  /** Closes its routers. Idempotent. */
  async close(): Promise<void> {
    this.#closed.abort(new AbortReasonError('shutdown'));
    await this.#models?.[Symbol.asyncDispose]();
    await Promise.allSettled(this.#openings.values());
    const routers = this.routers();
    this.#opened.clear();
    this.#openings.clear();
    await Promise.all(routers.map((router) => router.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #isReady(): boolean {
    return this.#models?.isReady ?? true;
  }

  async #blockSize(call: EndpointCall): Promise<number> {
    const { blockSize: only } = this.#options;
    if (only !== undefined) return only;
    const { blockSize = 0 } = call;
    if (blockSize > MOST_BLOCK_TOKENS)
      throw new DynamoError('request.invalid', `block_size must be at most ${MOST_BLOCK_TOKENS}`);
    if (call.isNew === true && blockSize > 0) return blockSize;
    const name = `${blockSize} ${call.anyBlocks === true} ${call.model ?? ''}`;
    const known = this.#choices.get(name);
    if (known !== undefined) return known;
    let choice: BlockChoice = NOTHING_KNOWN;
    await this.#comes(() => {
      choice = this.#choice(call);
      if (choice.kind === 'size') this.#remember(name, choice.blockSize);
      return choice.kind !== 'absent' && choice.kind !== 'nothing-known';
    }, call.signal);
    return this.#chosen(choice);
  }

  #choice(call: EndpointCall): BlockChoice {
    // A call that names no size must see all models before it can be said to mean one.
    const isSeen = this.#isReady || (call.blockSize ?? 0) > 0;
    return isSeen ? chooseBlockSize(call, this.#blocks()) : NOTHING_KNOWN;
  }

  /** Callers make up names. */
  #remember(name: string, blockSize: number): void {
    if (this.#choices.size >= MOST_CHOICES) this.#choices.clear();
    this.#choices.set(name, blockSize);
  }

  #forgetKnown(): void {
    this.#known = undefined;
    this.#choices.clear();
  }

  #chosen(choice: BlockChoice): number {
    if (choice.kind === 'size') return choice.blockSize;
    if (choice.kind === 'nothing-known')
      throw this.#unavailable('name it in block_size, or retry later');
    const code = choice.kind === 'gone' ? 'backend.unavailable' : 'request.invalid';
    throw new DynamoError(code, choice.message, { details: PUBLIC_MESSAGE });
  }

  /** Waits a while until something holds. @returns whether it does @throws the signal's reason */
  async #comes(holds: () => boolean, signal: AbortSignal | undefined): Promise<boolean> {
    if (holds()) return true;
    const closed = this.#closed.signal;
    const given = signal === undefined ? closed : AbortSignal.any([signal, closed]);
    const deadline = deadlineSignal(WAIT_MS, given);
    try {
      do await raceAbort(this.#change.promise, deadline);
      while (!holds());
      return true;
    } catch (error) {
      if (given.aborted || !deadline.aborted) throw error;
      return false;
    }
  }

  #unavailable(advice: string): DynamoError {
    const message = `${this.name} has no worker that has said its block size; ${advice}`;
    return new DynamoError('backend.unavailable', message);
  }

  #blocks(): KnownBlocks {
    this.#known ??= {
      endpoint: this.name,
      models: [...(this.#models?.list() ?? []), ...this.#options.registered()],
      gone: this.#models?.gone() ?? new Set(),
      open: [...this.#opened.keys()],
    };
    return this.#known;
  }

  /** Sizes that workers say, or those of the open routers when none says any. */
  #sizes(): readonly number[] {
    const { models, open } = this.#blocks();
    return models.length > 0 ? [...new Set(models.map(({ blockSize }) => blockSize))] : open;
  }

  #open(blockSize: number): Promise<EndpointRouter> {
    const known = this.#openings.get(blockSize);
    if (known !== undefined) return known;
    if (this.#closed.signal.aborted)
      throw new DynamoError('runtime.closed', 'the router service is closed');
    this.#options.onOpening();
    const opening = this.#connect(blockSize);
    this.#openings.set(blockSize, opening);
    opening.catch(() => this.#openings.delete(blockSize));
    return opening;
  }

  async #connect(blockSize: number): Promise<EndpointRouter> {
    const { open, path, onOpened } = this.#options;
    const router = await open(path, blockSize);
    this.#opened.set(blockSize, router);
    onOpened(router);
    this.changed();
    return router;
  }

  async #openKept(blockSize: number): Promise<void> {
    try {
      await this.#open(blockSize);
    } catch (error) {
      if (!this.#closed.signal.aborted) this.#options.onFailed(error);
    }
  }
}

function isInUse(router: EndpointRouter): boolean {
  return router.activeRequests > 0 || router.queueStats().pendingCount > 0;
}
