//! What is asked of a placement, and its answer.

use std::time::Duration;

use super::timing::{StepTimes, timed};
use crate::hashing::{BlockSeed, hash_blocks};
use crate::index::WorkerRank;
use crate::selection::{CostSettings, InvalidSetting, Pin, SelectionMode, SelectionReason};

/// A prompt, as far as routing needs it.
#[derive(Debug, Clone, Copy)]
pub enum Prompt<'a> {
    /// Local hashes of its complete blocks.
    Hashes(&'a [u64]),
    /// Its tokens, and what keeps its blocks apart from others.
    Tokens {
        /// Token ids.
        ids: &'a [u32],
        /// Adapter; empty for none.
        lora_name: &'a str,
        /// Cache salt; empty for none.
        salt: &'a str,
    },
}

impl Prompt<'_> {
    /// The local hashes of the complete blocks, in `memory` if they had to be worked out, and how long that took.
    pub(super) fn local_hashes<'m>(
        &'m self,
        block_size: u32,
        memory: &'m mut Vec<u64>,
    ) -> (&'m [u64], Option<Duration>) {
        match *self {
            Self::Hashes(known) => (known, None),
            Self::Tokens {
                ids,
                lora_name,
                salt,
            } => {
                let seed = BlockSeed::new(lora_name, salt);
                memory.clear();
                let ((), took) = timed(|| hash_blocks(ids, block_size as usize, seed, memory));
                (memory, Some(took))
            }
        }
    }
}

/// Settings of the cost that one request brings; absent ones are the router's own.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Overrides {
    /// Blocks saved per device block of overlap.
    pub overlap_score_credit: Option<f64>,
    /// Weight of prefill against decode.
    pub prefill_load_scale: Option<f64>,
    /// Deprecated name of the prefill load scale; 0 also takes the overlap's credit away.
    pub overlap_score_weight: Option<f64>,
    /// Softmax temperature.
    pub temperature: Option<f64>,
    /// Cost of each cached block that would be displaced.
    pub displacement_weight: Option<f64>,
    /// Share blocks with other running requests.
    pub assume_kv_reuse: Option<bool>,
    /// Count prefill tokens.
    pub track_prefill_tokens: Option<bool>,
}

impl Overrides {
    /// The settings with these put over them.
    ///
    /// # Errors
    /// With the first weight that cannot be used.
    pub fn apply(&self, settings: CostSettings) -> Result<CostSettings, InvalidSetting> {
        let mut settings = settings;
        if let Some(weight) = self.overlap_score_weight {
            if !weight.is_finite() || weight < 0.0 {
                return Err(InvalidSetting {
                    name: "overlap_score_weight",
                    value: weight,
                });
            }
            settings = settings.with_overlap_score_weight(weight);
        }
        let weights = [
            (
                self.overlap_score_credit,
                &mut settings.overlap_score_credit,
            ),
            (self.prefill_load_scale, &mut settings.prefill_load_scale),
            (self.temperature, &mut settings.temperature),
            (self.displacement_weight, &mut settings.displacement_weight),
        ];
        for (value, setting) in weights {
            *setting = value.unwrap_or(*setting);
        }
        if let Some(track) = self.track_prefill_tokens {
            settings.track_prefill_tokens = track;
        }
        settings.validate()?;
        Ok(settings)
    }
}

/// One request to place.
#[derive(Debug, Clone, Copy)]
pub struct PlaceRequest<'a> {
    /// Names the booking; placing it again replaces its booking.
    pub id: &'a str,
    /// Trace that the decision belongs to; empty for none.
    pub trace_id: &'a str,
    /// What decides.
    pub mode: SelectionMode,
    /// The prompt.
    pub prompt: Prompt<'a>,
    /// Its length.
    pub prompt_tokens: u64,
    /// The caller's steady clock.
    pub now_ms: u64,
    /// Time of day, for the record.
    pub unix_ms: f64,
    /// Book the request on the choice.
    pub book: bool,
    /// Record the decision.
    pub record: bool,
    /// Workers that may not be chosen.
    pub excluded_workers: &'a [u64],
    /// The only workers that may be chosen; all when none.
    pub allowed_workers: Option<&'a [u64]>,
    /// The only worker that may be chosen.
    pub pinned: Option<Pin>,
    /// Chosen if it may be.
    pub preferred: Option<Pin>,
    /// Taints that the worker must have.
    pub required_taints: &'a [String],
    /// (taint, weight): a worker that has it costs less.
    pub preferred_taints: &'a [(String, f64)],
    /// Settings of this request.
    pub overrides: Overrides,
    /// How long the answer is expected to be.
    pub expected_output_tokens: Option<u32>,
    /// Time it waited before, for the record.
    pub queued_ms: f64,
    /// Queue class, for the record.
    pub policy_class: &'a str,
}

impl<'a> PlaceRequest<'a> {
    /// A request for any worker by KV overlap and load, to be booked and recorded, at time 0.
    #[must_use]
    pub fn new(id: &'a str, prompt: Prompt<'a>, prompt_tokens: u64) -> Self {
        Self {
            id,
            trace_id: "",
            mode: SelectionMode::Kv,
            prompt,
            prompt_tokens,
            now_ms: 0,
            unix_ms: 0.0,
            book: true,
            record: true,
            excluded_workers: &[],
            allowed_workers: None,
            pinned: None,
            preferred: None,
            required_taints: &[],
            preferred_taints: &[],
            overrides: Overrides::default(),
            expected_output_tokens: None,
            queued_ms: 0.0,
            policy_class: "",
        }
    }
}

/// A choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The rank.
    pub rank: WorkerRank,
    /// Why.
    pub reason: SelectionReason,
    /// Blocks of the prompt that it holds, each tier by its weight, rounded down.
    pub overlap_blocks: u32,
    /// The same in tokens.
    pub cached_tokens: u64,
    /// Blocks of the prompt.
    pub required_blocks: u64,
    /// Prompt tokens that the rank must compute for it; 0 when prefill is not tracked.
    pub prefill_tokens: u64,
    /// Blocks in use there with this request.
    pub potential_decode_blocks: f64,
    /// Names the recorded decision; empty when it is not recorded.
    pub decision_id: String,
    /// How long its steps took.
    pub times: StepTimes,
}
