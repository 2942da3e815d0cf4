/** Which models the workers of an endpoint serve, and how large the blocks of each are: what their model cards say. */
import { TaskGroup } from '@dynamo-ts/base';
import { MODEL_CARDS_PREFIX, encodeSegment, readModelRecord } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { Discovery, DistributedRuntime } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

/** A model and the tokens per block of workers that serve it. */
export interface ModelBlocks {
  /** Empty when only the blocks are known. */
  readonly model: string;
  readonly blockSize: number;
  /** Workers that say so; undefined when they are not counted. */
  readonly workers?: number | undefined;
}

/** Settings of {@link EndpointModels}. */
export interface EndpointModelsOptions {
  readonly discovery: Discovery;
  readonly path: EndpointPath;
  /** What there is has changed. */
  readonly onChange: () => void;
  readonly logger: Logger;
}

/** Models that are remembered. */
const MOST_GONE = 1024;

/** Discovery prefix of the model records of an endpoint. */
export function modelCardsPrefix({ namespace, component, endpoint }: EndpointPath): string {
  const segments = [namespace, component, endpoint].map(encodeSegment);
  return `${MODEL_CARDS_PREFIX}${segments.join('/')}/`;
}

/** Follows the models of endpoints over a runtime's discovery, from now on. */
export function modelFollower(
  { discovery }: Pick<DistributedRuntime, 'discovery'>,
  logger: Logger,
): (path: EndpointPath, onChange: () => void) => EndpointModels {
  return (path, onChange) => {
    const models = new EndpointModels({ discovery, path, onChange, logger });
    models.start();
    return models;
  };
}

/** The models of one endpoint. */
export class EndpointModels implements AsyncDisposable {
  readonly #options: EndpointModelsOptions;
  /** By the record's key. */
  readonly #records = new Map<string, ModelBlocks>();
  /** Models that were served once and are not now, the latest last. */
  readonly #gone = new Set<string>();
  readonly #tasks: TaskGroup;
  #isReady = false;
  #list: readonly ModelBlocks[] | undefined;

  constructor(options: EndpointModelsOptions) {
    this.#options = options;
    this.#tasks = new TaskGroup({
      name: 'endpoint models',
      onError: (error, task) => {
        options.logger.error('the models of an endpoint are not followed any more', {
          task,
          error,
        });
      },
    });
  }

  /** Begins to follow the model cards. */
  start(): void {
    this.#tasks.start('follow', (signal) => this.#follow(signal));
  }

  /** The cards that there were have been read. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** Each model and block size once; cards that say no block size are left out. */
  list(): readonly ModelBlocks[] {
    this.#list ??= counted(this.#records.values());
    return this.#list;
  }

  /** Models that workers served and none serves now. */
  gone(): ReadonlySet<string> {
    return this.#gone;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#tasks.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { discovery, path, onChange } = this.#options;
    for await (const event of discovery.watch(modelCardsPrefix(path), { signal })) {
      this.#list = undefined;
      if (event.kind === 'put') this.#put(event.key, event.value);
      else if (event.kind === 'delete') this.#delete(event.key);
      else this.#isReady = true;
      onChange();
    }
  }

  /** What cannot be read leaves the last value, which whoever uses the card complains about. */
  #put(key: string, value: Uint8Array): void {
    try {
      const { card } = readModelRecord(key, value);
      const blockSize = card?.kvCacheBlockSize ?? 0;
      const model = card?.displayName ?? '';
      this.#gone.delete(model);
      if (blockSize > 0) this.#records.set(key, { model, blockSize });
      else this.#records.delete(key);
    } catch {
      this.#options.logger.debug('a model card cannot be read', { key });
    }
  }

  #delete(key: string): void {
    const model = this.#records.get(key)?.model ?? '';
    this.#records.delete(key);
    if (model === '' || this.list().some((each) => each.model === model)) return;
    this.#gone.add(model);
    for (const oldest of this.#gone) {
      if (this.#gone.size <= MOST_GONE) break;
      this.#gone.delete(oldest);
    }
  }
}

function counted(records: Iterable<ModelBlocks>): readonly ModelBlocks[] {
  const byName = new Map<string, ModelBlocks>();
  for (const { model, blockSize } of records) {
    const name = `${blockSize} ${model}`;
    const { workers = 0 } = byName.get(name) ?? {};
    byName.set(name, { model, blockSize, workers: workers + 1 });
  }
  return [...byName.values()];
}
