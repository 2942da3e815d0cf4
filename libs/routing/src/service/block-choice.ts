/**
 * Which block size a call for an endpoint means. A call names its model, or its block size, or both, or neither when it
 * cannot be misunderstood: guessing among models whose blocks differ would look a prompt up where it cannot be.
 */
import type { ModelBlocks } from '../kv/fleet/endpoint-models.ts';

/** What a call says of its blocks. */
export interface BlockCall {
  /** Empty when it names none. @default '' */
  readonly model?: string | undefined;
  /** 0 when it names none. @default 0 */
  readonly blockSize?: number | undefined;
  /**
   * Any workers of its model will do, those that are the most: a model whose workers are being replaced by some with other
   * blocks is served by both. @default false
   */
  readonly anyBlocks?: boolean | undefined;
}

/** What is known of the blocks at an endpoint. */
export interface KnownBlocks {
  /** `namespace.component.endpoint`. */
  readonly endpoint: string;
  /** What workers say. */
  readonly models: readonly ModelBlocks[];
  /** Models that workers served and none serves now: the blocks of others are not meant. */
  readonly gone: ReadonlySet<string>;
  /** Of routers that are open: what callers have named where no worker says anything. */
  readonly open: readonly number[];
}

/** What a call means. */
export type BlockChoice =
  | { readonly kind: 'size'; readonly blockSize: number }
  /** It can mean several; more workers do not make it clearer. */
  | { readonly kind: 'ambiguous'; readonly message: string }
  /** Nobody serves its model any more. */
  | { readonly kind: 'gone'; readonly message: string }
  /** Nobody has such blocks; the worker that has may be about to come. */
  | { readonly kind: 'absent'; readonly message: string }
  /** Nothing is known of any blocks. */
  | { readonly kind: 'nothing-known' };

/** More would make an error message unreadable. */
const MOST_LISTED = 16;
const LONGEST_NAME = 128;

/** Name that a caller made up, for an error message. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name);
}

/** What is known of the blocks that a call may mean. */
interface Meant extends KnownBlocks {
  /** What workers of its model say; empty when it names none, or one that nobody serves. */
  readonly ofModel: readonly ModelBlocks[];
  /** What those workers say, or all when there are none. */
  readonly said: readonly number[];
}

/** Chooses. */
export function chooseBlockSize(call: BlockCall, known: KnownBlocks): BlockChoice {
  const ofModel = known.models.filter(({ model }) => model !== '' && model === call.model);
  if (ofModel.length === 0 && known.gone.has(call.model ?? '')) {
    const message = `no worker of ${known.endpoint} serves model ${quoted(call.model ?? '')} now; retry later`;
    return { kind: 'gone', message };
  }
  const said = sizesOf(ofModel.length > 0 ? ofModel : known.models);
  const meant = { ...known, ofModel, said };
  return (call.blockSize ?? 0) > 0 ? named(call, meant) : unnamed(call, meant);
}

function unnamed(call: BlockCall, meant: Meant): BlockChoice {
  const sizes = meant.said.length > 0 ? meant.said : meant.open;
  const [only] = sizes;
  if (only === undefined) return { kind: 'nothing-known' };
  if (sizes.length === 1) return { kind: 'size', blockSize: only };
  const most = call.anyBlocks === true ? mostServed(meant.ofModel) : undefined;
  if (most !== undefined) return { kind: 'size', blockSize: most };
  return { kind: 'ambiguous', message: ambiguous(call, meant, sizes) };
}

function named(call: BlockCall, meant: Meant): BlockChoice {
  const { blockSize = 0 } = call;
  const { ofModel, said, open } = meant;
  // Where no worker says anything, the caller may know better.
  const isKnown = said.length === 0 || said.includes(blockSize);
  if (isKnown || (ofModel.length === 0 && open.includes(blockSize)))
    return { kind: 'size', blockSize };
  return { kind: 'absent', message: absent(call, meant) };
}

/** Of sizes that are served alike, the smallest. */
function mostServed(models: readonly ModelBlocks[]): number | undefined {
  const inOrder = models.toSorted(
    (a, b) => (b.workers ?? 0) - (a.workers ?? 0) || a.blockSize - b.blockSize,
  );
  return inOrder[0]?.blockSize;
}

/** Each once, smallest first. */
function sizesOf(models: readonly ModelBlocks[]): readonly number[] {
  return [...new Set(models.map(({ blockSize }) => blockSize))].toSorted((a, b) => a - b);
}

function ambiguous(
  { model = '' }: BlockCall,
  { endpoint, ofModel, models }: Meant,
  sizes: readonly number[],
): string {
  const name = quoted(model);
  if (ofModel.length > 0)
    return `model ${name} of ${endpoint} has blocks of ${listed(sizes)} tokens: name the size in block_size`;
  const unknown = model === '' ? '' : `model ${name} is not known at ${endpoint}; `;
  return `${unknown}models of ${endpoint} have blocks of ${listed(sizes)} tokens${modelsOf(models)}: name one in model, or its block size in block_size`;
}

function absent(
  { model = '', blockSize = 0 }: BlockCall,
  { endpoint, ofModel, models, said }: Meant,
): string {
  if (ofModel.length > 0)
    return `model ${quoted(model)} of ${endpoint} has blocks of ${listed(said)} tokens, not of ${blockSize}`;
  return `no worker of ${endpoint} has blocks of ${blockSize} tokens; there are blocks of ${listed(said)}${modelsOf(models)}`;
}

function modelsOf(models: readonly ModelBlocks[]): string {
  const named = models.filter(({ model }) => model !== '');
  if (named.length === 0) return '';
  return ` (${listed(named.map(({ model, blockSize }) => `${model}: ${blockSize}`))})`;
}

function listed(values: readonly (string | number)[]): string {
  const rest = values.length - MOST_LISTED;
  const some = values.slice(0, MOST_LISTED).join(', ');
  return rest > 0 ? `${some} and ${rest} more` : some;
}
