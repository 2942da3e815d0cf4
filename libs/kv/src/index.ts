export { computeBlockHashForSeq } from './block-hash.ts';
export type { BlockHashOptions } from './block-hash.ts';
