/**
 * Loads tokenizer and template of a model card. Files that this machine lacks come from the workers that published the
 * card, over the request plane, verified and cached by checksum.
 */
import { DynamoError, toDynamoError } from '@dynamo-ts/base';
import type { InstanceId } from '@dynamo-ts/base';
import type { CardFileCache, FetchChunk } from '@dynamo-ts/preprocess';
import { ModelPreprocessor } from '@dynamo-ts/preprocess';
import { ModelFileChunk, ModelFileRequest, formatEndpointPath } from '@dynamo-ts/protocol';
import type { EndpointPath, ModelDeploymentCard } from '@dynamo-ts/protocol';
import { Context } from '@dynamo-ts/runtime';
import type { Client, DistributedRuntime } from '@dynamo-ts/runtime';

/** Endpoint at which a worker gives out the files of its cards. */
const FILES_ENDPOINT = 'model_files';

/** A card and who published it. */
export interface PublishedCard {
  readonly card: ModelDeploymentCard;
  readonly path: EndpointPath;
  /** Workers that have the files; asked one after the other. */
  readonly publishers: () => readonly InstanceId[];
}

/** Loads model cards. */
export class CardLoader {
  readonly #runtime: DistributedRuntime;
  readonly #cache: CardFileCache;

  constructor(options: { readonly runtime: DistributedRuntime; readonly cache: CardFileCache }) {
    this.#runtime = options.runtime;
    this.#cache = options.cache;
  }

  /**
   * Loads tokenizer and template.
   *
   * @throws what fetching or reading the files throws; the same card may be tried again
   */
  async load(published: PublishedCard, signal: AbortSignal): Promise<ModelPreprocessor> {
    const { card } = published;
    const files = await this.#files(published, signal);
    return ModelPreprocessor.load({ card, files });
  }

  async #files(
    published: PublishedCard,
    signal: AbortSignal,
  ): ReturnType<CardFileCache['resolve']> {
    const { card, path, publishers } = published;
    if (card.modelInput === 'text') return [];
    const endpoint = formatEndpointPath({ ...path, endpoint: FILES_ENDPOINT });
    await using client = await this.#runtime.endpoint(endpoint).client({ faultDetection: false });
    return await this.#cache.resolve(card, { fetchChunk: fetchFrom(client, publishers), signal });
  }
}

function fetchFrom(client: Client, publishers: () => readonly InstanceId[]): FetchChunk {
  return async (blake3, offset, { signal }) => {
    const payload = ModelFileRequest.encode({ blake3, offset: BigInt(offset) }).finish();
    let last: DynamoError | undefined;
    for (const id of publishers()) {
      try {
        return await fetchChunk(client, id, { payload, signal });
      } catch (error) {
        last = toDynamoError(error);
      }
    }
    throw (
      last ?? new DynamoError('backend.unavailable', 'no worker has the files of the model card')
    );
  };
}

async function fetchChunk(
  client: Client,
  id: InstanceId,
  { payload, signal }: { payload: Uint8Array; signal: AbortSignal | undefined },
): Promise<Uint8Array> {
  const context = new Context();
  const kill = (): void => context.kill('shutdown');
  signal?.addEventListener('abort', kill, { once: true });
  try {
    const response = await client.openRaw(id, payload, context);
    const batch = await response.nextBatch();
    response.cancel();
    const [first] = batch ?? [];
    if (first === undefined) throw new DynamoError('backend.stream_incomplete', 'an empty answer');
    return ModelFileChunk.decode(first).data;
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}
