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
}

/** What is known of the blocks at an endpoint. */
export interface KnownBlocks {
  /** `namespace.component.endpoint`. */
  readonly endpoint: string;
  /** What workers say. */
  readonly models: readonly ModelBlocks[];
  /** Of routers that are open: what callers have named where no worker says anything. */
  readonly open: readonly number[];
}

/** What a call means. */
export type BlockChoice =
  | { readonly kind: 'size'; readonly blockSize: number }
  /** It can mean several; more workers do not make it clearer. */
  | { readonly kind: 'ambiguous'; readonly message: string }
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

/** Chooses. */
export function chooseBlockSize(call: BlockCall, known: KnownBlocks): BlockChoice {
  const { model = '', blockSize = 0 } = call;
  const ofModel = known.models.filter((each) => model !== '' && each.model === model);
  const said = sizesOf(ofModel.length > 0 ? ofModel : known.models);
  const sizes = said.length > 0 ? said : known.open;
  if (blockSize === 0) {
    const [only] = sizes;
    if (only === undefined) return { kind: 'nothing-known' };
    if (sizes.length === 1) return { kind: 'size', blockSize: only };
    return { kind: 'ambiguous', message: ambiguous(model, ofModel.length > 0, sizes, known) };
  }
  // Where no worker says anything, the caller may know better.
  if (said.length === 0 || said.includes(blockSize)) return { kind: 'size', blockSize };
  if (ofModel.length === 0 && known.open.includes(blockSize)) return { kind: 'size', blockSize };
  return { kind: 'absent', message: absent(call, ofModel.length > 0, sizes, known) };
}

/** Each once, smallest first. */
function sizesOf(models: readonly ModelBlocks[]): readonly number[] {
  return [...new Set(models.map(({ blockSize }) => blockSize))].toSorted((a, b) => a - b);
}

function ambiguous(
  model: string,
  isKnown: boolean,
  sizes: readonly number[],
  known: KnownBlocks,
): string {
  const { endpoint } = known;
  const name = quoted(model);
  if (isKnown)
    return `model ${name} of ${endpoint} has blocks of ${listed(sizes)} tokens: name the size in block_size`;
  const unknown = model === '' ? '' : `model ${name} is not known at ${endpoint}; `;
  return `${unknown}models of ${endpoint} have blocks of ${listed(sizes)} tokens${modelsOf(known)}: name one in model, or its block size in block_size`;
}

function absent(
  { model = '', blockSize = 0 }: BlockCall,
  isKnown: boolean,
  sizes: readonly number[],
  known: KnownBlocks,
): string {
  if (isKnown)
    return `model ${quoted(model)} of ${known.endpoint} has blocks of ${listed(sizes)} tokens, not of ${blockSize}`;
  return `no worker of ${known.endpoint} has blocks of ${blockSize} tokens; there are blocks of ${listed(sizes)}${modelsOf(known)}`;
}

function modelsOf({ models }: KnownBlocks): string {
  const named = models.filter(({ model }) => model !== '');
  if (named.length === 0) return '';
  return ` (${listed(named.map(({ model, blockSize }) => `${model}: ${blockSize}`))})`;
}

function listed(values: readonly (string | number)[]): string {
  const rest = values.length - MOST_LISTED;
  const some = values.slice(0, MOST_LISTED).join(', ');
  return rest > 0 ? `${some} and ${rest} more` : some;
}
