/** Prompts of three kinds of traffic; the same for the same seed. */

/** One request. */
export interface Turn {
  readonly prompt: string;
  readonly outputTokens: number;
}

/** A workload: lists of turns, each list sent one after another by one client, the lists beside each other. */
export interface Workload {
  readonly name: string;
  readonly what: string;
  sessions(scale: number): readonly (readonly Turn[])[];
}

const OUTPUT_TOKENS = 16;
const SHARED_PREFIXES = 24;
const PREFIX_WORDS = 4000;
const OWN_WORDS = 200;
const SHARED_REQUESTS = 480;
const CONVERSATIONS = 48;
const TURNS = 8;
const TURN_WORDS = 400;
const UNIQUE_REQUESTS = 240;
const UNIQUE_WORDS = 1500;

/** Prompts that begin with one of a few long texts. */
const SHARED: Workload = {
  name: 'shared-prefix',
  what: `${SHARED_PREFIXES} prefixes of ${PREFIX_WORDS} words, prompts of ${PREFIX_WORDS + OWN_WORDS}`,
  sessions(scale) {
    const prefixes = Array.from({ length: SHARED_PREFIXES }, (_, seed) =>
      words(seed, PREFIX_WORDS),
    );
    const dice = random(7);
    return Array.from({ length: Math.round(SHARED_REQUESTS * scale) }, (_, index) => [
      {
        prompt: `${prefixes[Math.floor(dice() * SHARED_PREFIXES)] ?? ''} ${words(1e6 + index, OWN_WORDS)}`,
        outputTokens: OUTPUT_TOKENS,
      },
    ]);
  },
};

/** Conversations that grow from turn to turn. */
const MULTI_TURN: Workload = {
  name: 'multi-turn',
  what: `${CONVERSATIONS} conversations of ${TURNS} turns of ${TURN_WORDS} words`,
  sessions(scale) {
    return Array.from({ length: Math.round(CONVERSATIONS * scale) }, (_, conversation) => {
      const turns = Array.from({ length: TURNS }, (_turn, turn) =>
        words(2e6 + conversation * TURNS + turn, TURN_WORDS),
      );
      return turns.map((_text, turn) => ({
        prompt: turns.slice(0, turn + 1).join(' '),
        outputTokens: OUTPUT_TOKENS,
      }));
    });
  },
};

/** Prompts that share nothing. */
const UNIQUE: Workload = {
  name: 'no-sharing',
  what: `prompts of ${UNIQUE_WORDS} words that share nothing`,
  sessions(scale) {
    return Array.from({ length: Math.round(UNIQUE_REQUESTS * scale) }, (_, index) => [
      { prompt: words(3e6 + index, UNIQUE_WORDS), outputTokens: OUTPUT_TOKENS },
    ]);
  },
};

/** Every workload. */
export const WORKLOADS: readonly Workload[] = [SHARED, MULTI_TURN, UNIQUE];

/** Common words, so that most of them are one token of any tokenizer. */
const VOCABULARY = (
  'time year people way day man thing woman life child world school state family student group country problem hand part ' +
  'place case week company system program question work government number night point home water room mother area money story fact'
).split(' ');

function words(seed: number, count: number): string {
  const dice = random(seed);
  return Array.from(
    { length: count },
    () => VOCABULARY[Math.floor(dice() * VOCABULARY.length)] ?? '',
  ).join(' ');
}

/** Numbers from 0 to 1: a linear congruential generator that is good enough to choose words. */
function random(seed: number): () => number {
  let state = (seed * 7919 + 104_729) % 2_147_483_647;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
