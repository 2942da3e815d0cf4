//! Where a text may be cut so that its parts tokenise to the same ids as the whole.
//!
//! Added tokens are searched in the raw text first, leftmost and longest, and what lies between them is tokenised piece
//! by piece. The end of such a match is therefore a safe cut, unless the token reaches beyond its own text.
use aho_corasick::{AhoCorasick, MatchKind};

use crate::tokenizer::{Matching, TextTokenizer};

/// Finds safe cuts of one tokenizer.
pub(crate) struct SpecialTokens {
    matcher: AhoCorasick,
    safe: Vec<bool>,
}

impl SpecialTokens {
    /// None when no cut is provably safe: no such tokens, or results that depend on a segment's place.
    pub fn new(tokenizer: &TextTokenizer) -> Option<Self> {
        let added = tokenizer.added_tokens().iter();
        let raw: Vec<_> = added
            .filter(|token| token.matching != Matching::Normalized)
            .collect();
        let dependent = raw
            .iter()
            .any(|token| token.matching == Matching::SingleWord);
        if raw.is_empty() || dependent || tokenizer.is_position_dependent() {
            return None;
        }
        let matcher = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(raw.iter().map(|token| token.content.as_bytes()))
            .ok()?;
        Some(Self {
            matcher,
            safe: raw
                .iter()
                .map(|token| token.matching == Matching::Plain)
                .collect(),
        })
    }

    /// Splits `text` after special tokens; the last segment may end anywhere.
    pub fn segments<'t>(&'t self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let cuts = self
            .matcher
            .find_iter(text)
            .filter(|found| self.safe[found.pattern().as_usize()])
            .map(|found| found.end());
        let mut start = 0;
        cuts.chain(std::iter::once(text.len()))
            .filter_map(move |end| {
                let segment = text.get(start..end).filter(|segment| !segment.is_empty());
                start = end;
                segment
            })
    }
}
