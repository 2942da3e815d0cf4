//! Turns ids into text as they arrive, for vocabularies whose text is not a plain concatenation of bytes.
//!
//! The text of a token may depend on its neighbours (a leading space is dropped at the start of a text, byte-fallback
//! pieces form a character together). So a short window of ids is decoded each time and what is new is given out; text
//! that ends in an unfinished character waits for the next id.
use std::sync::Arc;

use crate::error::TextError;
use crate::tokenizer::TextTokenizer;

/// Ids kept back before the window moves on although its text still looks unfinished: no character has more bytes.
const LONGEST_UNFINISHED: usize = 4;

/// Incremental decoder of one token stream.
pub struct IncrementalDecoder {
    tokenizer: Arc<TextTokenizer>,
    skip_special: bool,
    window: Vec<u32>,
    /// Text of the ids in the window that were already given out.
    shown: String,
    shown_ids: usize,
}

impl IncrementalDecoder {
    /// `prompt_tail` are the ids before the stream, a few are enough: they decide about a leading space.
    pub(crate) fn new(
        tokenizer: Arc<TextTokenizer>,
        skip_special: bool,
        prompt_tail: &[u32],
    ) -> Result<Self, TextError> {
        let mut window = prompt_tail.to_vec();
        if skip_special {
            window.retain(|id| !tokenizer.is_special(*id));
        }
        window.drain(..window.len().saturating_sub(LONGEST_UNFINISHED + 1));
        let shown = tokenizer.decode(&window, skip_special)?;
        Ok(Self {
            tokenizer,
            skip_special,
            shown,
            shown_ids: window.len(),
            window,
        })
    }

    /// Text that these ids complete; may be empty.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn push(&mut self, ids: &[u32]) -> Result<String, TextError> {
        let mut text = String::new();
        for &id in ids {
            // A left-out id has no text, and as the only context it would make the next one open the text.
            if self.skip_special && self.tokenizer.is_special(id) {
                continue;
            }
            self.window.push(id);
            let decoded = self.tokenizer.decode(&self.window, self.skip_special)?;
            let waiting = self.window.len() - self.shown_ids;
            if !decoded.ends_with('\u{fffd}') || waiting > LONGEST_UNFINISHED {
                self.show(&decoded, &mut text)?;
            }
        }
        Ok(text)
    }

    /// Text still held back when the stream ends: unfinished characters become U+FFFD.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn flush(&mut self) -> Result<String, TextError> {
        let mut text = String::new();
        if self.window.len() > self.shown_ids {
            let decoded = self.tokenizer.decode(&self.window, self.skip_special)?;
            self.show(&decoded, &mut text)?;
        }
        Ok(text)
    }

    fn show(&mut self, decoded: &str, text: &mut String) -> Result<(), TextError> {
        match decoded.strip_prefix(self.shown.as_str()) {
            Some(new) => text.push_str(new),
            // Broken bytes spoil the character before them when they are decoded together, but that one is out already.
            None => text.push_str(
                &self
                    .tokenizer
                    .decode(&self.window[self.shown_ids..], self.skip_special)?,
            ),
        }
        // The ids just shown stay as context for the next ones, older ones go.
        self.window.drain(..self.shown_ids);
        self.shown = self.tokenizer.decode(&self.window, self.skip_special)?;
        self.shown_ids = self.window.len();
        Ok(())
    }
}
