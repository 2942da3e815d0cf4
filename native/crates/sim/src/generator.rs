//! The simulated model: the next token is a function of the seed and of all tokens before it.
//!
//! Nothing depends on where the prompt ended, so a request that moves to another worker, with the tokens generated so far
//! appended to its prompt, goes on with the same tokens and ends at the same one. That holds for the natural end too:
//! a sequence is cut into sentences at boundaries that follow from its content (as in content-defined chunking), and an
//! answer ends at the first boundary behind its prompt.

/// Longest sentence, hence the longest answer without a token limit.
pub const MAX_SENTENCE_TOKENS: u32 = 256;
/// One position in this many is a boundary; an answer then has 89 tokens on average.
const BOUNDARY_ODDS: u64 = 96;
const BOUNDARY_LIMIT: u64 = u64::MAX / BOUNDARY_ODDS;
/// Odd multipliers of the golden ratio and of `SplitMix64`'s finaliser.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
const MIX: [u64; 2] = [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB];

/// Rolling state over one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generator {
    state: u64,
    /// Tokens since the last boundary.
    sentence: u32,
}

impl Generator {
    /// State before the first token. `request_seed` is the request's own sampling seed.
    #[must_use]
    pub fn new(engine_seed: u64, request_seed: Option<u64>) -> Self {
        let request = request_seed.map_or(0, |seed| mix(seed.wrapping_add(STEP)));
        Self {
            state: mix(engine_seed ^ request),
            sentence: 0,
        }
    }

    /// Takes one token of the sequence, given or generated.
    pub fn push(&mut self, token: u32) {
        self.sentence = if self.at_boundary() {
            1
        } else {
            self.sentence + 1
        };
        let mixed = (self.state.rotate_left(23) ^ u64::from(token)).wrapping_mul(STEP);
        self.state = mixed.wrapping_add(MIX[0]);
    }

    /// Takes a prompt.
    pub fn extend(&mut self, tokens: &[u32]) {
        for &token in tokens {
            self.push(token);
        }
    }

    /// Whether the sequence may end after the last token taken.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.state < BOUNDARY_LIMIT || self.sentence >= MAX_SENTENCE_TOKENS
    }

    /// The token that follows, one of `vocabulary`; 0 if that is empty.
    #[must_use]
    pub fn next_token(&self, vocabulary: &[u32]) -> u32 {
        let spread = u128::from(mix(self.state)) * vocabulary.len() as u128;
        let index = usize::try_from(spread >> 64).unwrap_or(0);
        vocabulary.get(index).copied().unwrap_or(0)
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(MIX[0]);
    let value = (value ^ (value >> 27)).wrapping_mul(MIX[1]);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: [u32; 5] = [3, 5, 8, 13, 21];

    fn answer(generator: &mut Generator, len: usize) -> Vec<u32> {
        let mut tokens = Vec::new();
        while tokens.len() < len {
            tokens.push(generator.next_token(&VOCABULARY));
            generator.push(tokens[tokens.len() - 1]);
        }
        tokens
    }

    fn answer_len(generator: &mut Generator) -> u32 {
        for len in 1.. {
            generator.push(generator.next_token(&VOCABULARY));
            if generator.at_boundary() {
                return len;
            }
        }
        0
    }

    #[test]
    fn the_same_prompt_gives_the_same_answer_and_another_seed_another_one() {
        let start = |engine_seed, request_seed| {
            let mut generator = Generator::new(engine_seed, request_seed);
            generator.extend(&[1, 2, 3]);
            answer(&mut generator, 40)
        };
        assert_eq!(start(7, None), start(7, None));
        assert_ne!(start(7, None), start(8, None));
        assert_ne!(start(7, None), start(7, Some(0)));
        assert_ne!(start(7, Some(1)), start(7, Some(2)));
    }

    #[test]
    fn a_sequence_cut_anywhere_goes_on_and_ends_as_if_it_had_not_been_cut() {
        let prompt: Vec<u32> = (0..300).collect();
        let mut whole = Generator::new(1, None);
        whole.extend(&prompt);
        let mut twin = whole;
        let len = answer_len(&mut twin) as usize;
        let tokens = answer(&mut whole, len);
        for cut in 0..len {
            let mut resumed = Generator::new(1, None);
            resumed.extend(&prompt);
            resumed.extend(&tokens[..cut]);
            let mut ending = resumed;
            assert_eq!(answer(&mut resumed, len - cut), tokens[cut..]);
            assert_eq!(answer_len(&mut ending) as usize, len - cut);
        }
    }

    #[test]
    fn answers_vary_in_length_and_never_exceed_a_sentence() {
        let lengths: Vec<u32> = (0..2_000)
            .map(|prompt| {
                let mut generator = Generator::new(0, None);
                generator.extend(&[prompt, 17]);
                answer_len(&mut generator)
            })
            .collect();
        assert!(
            lengths
                .iter()
                .all(|&len| (1..=MAX_SENTENCE_TOKENS).contains(&len))
        );
        let mean = lengths.iter().sum::<u32>() / 2_000;
        assert!((70..110).contains(&mean), "mean length {mean}");
    }

    #[test]
    fn every_token_of_the_vocabulary_is_used() {
        let mut generator = Generator::new(3, None);
        let tokens = answer(&mut generator, 500);
        assert!(VOCABULARY.iter().all(|id| tokens.contains(id)));
    }
}
