import type { TokenLogprob, TopLogprob } from '@dynamo-ts/protocol';

/** Most alternatives that a simulated token has. */
const MOST_ALTERNATIVES = 20;

/**
 * Made-up log probabilities of one token: the same for the same token, the generated one the likeliest, all of them
 * together below a probability of 1.
 *
 * @param topCount how many of the likeliest tokens to list, the generated one included
 */
export function mockLogprob(
  tokenId: number,
  vocabulary: Uint32Array,
  topCount: number,
): TokenLogprob {
  const random = scramble(tokenId);
  const probability = 0.5 + 0.4 * (random / 2 ** 32);
  const top: TopLogprob[] = [];
  const most = Math.min(topCount, MOST_ALTERNATIVES, vocabulary.length);
  let rest = 1 - probability;
  for (let rank = 0; rank < most; rank += 1) {
    const likelihood = rank === 0 ? probability : (rest *= 0.5);
    const id = rank === 0 ? tokenId : alternative(vocabulary, tokenId, random + rank);
    top.push({ tokenId: id, logprob: Math.log(likelihood), token: '' });
  }
  return { tokenId, logprob: Math.log(probability), top, token: '' };
}

/** Walks through the vocabulary from a scrambled place, so that alternatives differ from each other. */
function alternative(vocabulary: Uint32Array, tokenId: number, place: number): number {
  const id = vocabulary[place % vocabulary.length] ?? 0;
  return id === tokenId ? (vocabulary[(place + MOST_ALTERNATIVES) % vocabulary.length] ?? 0) : id;
}

/** The finaliser of MurmurHash3, 32 bits. */
function scramble(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
