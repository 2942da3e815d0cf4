/**
 * Brings a model of a Hugging Face hub to this machine (RF 1.16, `fetch_model`), in the hub's own cache layout
 * (`models--org--name/snapshots/<commit>/…`), so that other tools find it and it finds theirs.
 */
import { randomUUID } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { DynamoError } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';

/** Where models come from; {@link hubSettings} reads it from the usual variables. */
export interface HubSettings {
  /** @default https://huggingface.co */
  readonly endpoint?: string | undefined;
  /** Sent as a bearer token; needed for private and gated models. */
  readonly token?: string | undefined;
  /** @default ~/.cache/huggingface/hub */
  readonly cacheDirectory?: string | undefined;
  /** Take what the cache has and ask nobody. @default false */
  readonly offline?: boolean | undefined;
}

/** Settings of {@link fetchModel}. */
export interface FetchModelOptions extends HubSettings, AbortOptions {
  /** Branch, tag or commit. @default 'main' */
  readonly revision?: string | undefined;
  /** Only what a frontend needs: tokenizer, template, configuration. @default false */
  readonly ignoreWeights?: boolean | undefined;
}

/** Endings of files that hold weights. */
const WEIGHTS = /\.(?:safetensors|bin|pt|pth|gguf|h5|msgpack|onnx|ot)$/i;
/** Pictures and git's own files are nobody's input. */
const NOT_A_MODEL = /(?:^|\/)\.git|\.(?:png|jpe?g|gif|svg|md)$/i;

/** The settings in an environment: HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE, HF_HOME, HF_HUB_OFFLINE. */
export function hubSettings(env: Readonly<Record<string, string | undefined>>): HubSettings {
  const { HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_TOKEN } = env;
  return {
    endpoint: HF_ENDPOINT,
    token: HF_TOKEN,
    cacheDirectory: HF_HUB_CACHE ?? (HF_HOME === undefined ? undefined : join(HF_HOME, 'hub')),
    offline: /^(?:1|true|yes|on)$/i.test(HF_HUB_OFFLINE ?? ''),
  };
}

/**
 * The folder or file of a model: `name` itself when it is a path that exists, else a copy of the hub's repository `name`.
 * A file that the cache has is not fetched again.
 *
 * @throws `model.invalid` when the hub has no such model, refuses it, or cannot be reached
 */
export async function fetchModel(name: string, options: FetchModelOptions = {}): Promise<string> {
  if (existsSync(name)) return name;
  if (!/^[\w.-]+(?:\/[\w.-]+)?$/.test(name) || name.includes('..')) {
    throw new DynamoError(
      'model.invalid',
      `${name} is neither a path that exists nor a model of the form org/name`,
    );
  }
  const cache = options.cacheDirectory ?? join(homedir(), '.cache', 'huggingface', 'hub');
  const repository = join(cache, `models--${name.replaceAll('/', '--')}`);
  const hub = new Hub(name, options);
  return options.offline === true
    ? await cachedSnapshot(repository, hub)
    : await fetchSnapshot(repository, hub, options.ignoreWeights ?? false);
}

async function cachedSnapshot(repository: string, hub: Hub): Promise<string> {
  const commit = await readFile(join(repository, 'refs', hub.revision), 'utf8').catch(() => '');
  const folder = join(repository, 'snapshots', commit.trim());
  if (commit !== '' && existsSync(folder)) return folder;
  throw new DynamoError(
    'model.invalid',
    `the cache ${repository} has no ${hub.revision} and HF_HUB_OFFLINE forbids to fetch it`,
  );
}

async function fetchSnapshot(
  repository: string,
  hub: Hub,
  ignoreWeights: boolean,
): Promise<string> {
  const { commit, files } = await hub.list();
  const folder = join(repository, 'snapshots', commit);
  for (const file of files) {
    if (NOT_A_MODEL.test(file) || (ignoreWeights && WEIGHTS.test(file))) continue;
    const path = join(folder, normalize(file));
    if (!path.startsWith(folder)) throw hub.failure(`lists the impossible file ${file}`);
    if (!existsSync(path)) await hub.download({ commit, file, path });
  }
  const ref = join(repository, 'refs', hub.revision);
  await mkdir(dirname(ref), { recursive: true });
  await writeFile(ref, commit);
  return folder;
}

/** One repository of a hub. */
class Hub {
  readonly revision: string;
  readonly #name: string;
  readonly #endpoint: string;
  readonly #init: RequestInit;

  constructor(name: string, options: FetchModelOptions) {
    const { signal, token } = options;
    this.#name = name;
    this.revision = options.revision ?? 'main';
    this.#endpoint = (options.endpoint ?? 'https://huggingface.co').replace(/\/+$/, '');
    this.#init = {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      ...(signal === undefined ? {} : { signal }),
    };
  }

  /** The commit that the revision is, and its files. */
  async list(): Promise<{ commit: string; files: readonly string[] }> {
    const revision = encodeURIComponent(this.revision);
    const response = await this.#get(`/api/models/${this.#name}/revision/${revision}`);
    const answer = (await response.json()) as {
      sha?: unknown;
      siblings?: readonly { rfilename?: unknown }[];
    };
    const { sha, siblings = [] } = answer;
    if (typeof sha !== 'string' || !/^[0-9a-f]{7,64}$/.test(sha)) {
      throw this.failure('gives no commit');
    }
    const names = siblings.map(({ rfilename }) => rfilename);
    return { commit: sha, files: names.filter((file) => typeof file === 'string') };
  }

  /** Gets one file; it has its name only when it is complete. */
  async download(wanted: { commit: string; file: string; path: string }): Promise<void> {
    const { commit, file, path } = wanted;
    const encoded = file.split('/').map(encodeURIComponent).join('/');
    const response = await this.#get(`/${this.#name}/resolve/${commit}/${encoded}`);
    if (response.body === null) throw this.failure(`sends nothing for ${file}`);
    const partial = `${path}.${randomUUID()}.partial`;
    await mkdir(dirname(path), { recursive: true });
    try {
      await pipeline(Readable.from(response.body), createWriteStream(partial));
      await rename(partial, path);
    } finally {
      await rm(partial, { force: true });
    }
  }

  failure(what: string, cause?: unknown): DynamoError {
    const message = `${this.#endpoint} ${what} (model ${this.#name}, revision ${this.revision})`;
    return new DynamoError('model.invalid', message, { cause });
  }

  async #get(path: string): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(this.#endpoint + path, this.#init);
    } catch (error) {
      this.#init.signal?.throwIfAborted();
      throw this.failure('cannot be reached', error);
    }
    if (response.ok) return response;
    await response.body?.cancel();
    throw this.failure(
      response.status === 401 || response.status === 403
        ? `refuses access with ${response.status}; set HF_TOKEN`
        : `answers ${response.status}`,
    );
  }
}
