//! Settings of one simulated engine, under the names and defaults of RP 9.1.

use std::fmt;
use std::sync::Arc;

/// Which running request gives up its blocks when the cache is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PreemptionMode {
    /// The one admitted last.
    #[default]
    Lifo,
    /// The one that arrived first.
    Fifo,
}

/// Settings of one simulated engine. Every data-parallel rank has its own scheduler and its own cache of this size.
#[derive(Debug, Clone)]
pub struct EngineArgs {
    /// Cache size of each rank in blocks.
    pub num_gpu_blocks: u32,
    /// Tokens per block.
    pub block_size: u32,
    /// Most requests in one pass of a rank.
    pub max_num_seqs: u32,
    /// Most tokens computed in one pass of a rank.
    pub max_num_batched_tokens: u32,
    /// Reuse cached blocks of equal prefixes and report them in KV events.
    pub enable_prefix_caching: bool,
    /// Compute a long prompt over several passes; otherwise a prompt must fit one pass whole.
    pub enable_chunked_prefill: bool,
    /// Share of the cache that admitting a request must leave free, 0 to 1.
    pub watermark: f64,
    /// Every pass is this many times faster; 0 takes no time at all.
    pub speedup_ratio: f64,
    /// The decode part of a pass is this many times faster still; 0 takes no time at all.
    pub decode_speedup_ratio: f64,
    /// Data-parallel ranks.
    pub dp_size: u32,
    /// Time from creation until the first pass may begin, in nanoseconds.
    pub startup_time_ns: u64,
    /// Longest sequence, prompt and answer together; the cache size bounds it in any case.
    pub max_model_len: Option<u32>,
    /// Who yields when the cache is full.
    pub preemption_mode: PreemptionMode,
    /// Decides all generated tokens. Workers that continue each other's requests share it.
    pub seed: u64,
    /// Ids to generate from: whole printable text, no end-of-sequence.
    pub vocabulary: Arc<[u32]>,
}

impl Default for EngineArgs {
    fn default() -> Self {
        Self {
            num_gpu_blocks: 16_384,
            block_size: 64,
            max_num_seqs: 256,
            max_num_batched_tokens: 8_192,
            enable_prefix_caching: true,
            enable_chunked_prefill: true,
            watermark: 0.01,
            speedup_ratio: 1.0,
            decode_speedup_ratio: 1.0,
            dp_size: 1,
            startup_time_ns: 0,
            max_model_len: None,
            preemption_mode: PreemptionMode::default(),
            seed: 0,
            vocabulary: Arc::from([]),
        }
    }
}

impl EngineArgs {
    /// Checks that an engine can run with these settings.
    ///
    /// # Errors
    /// Names the first setting that is out of range.
    pub fn validate(&self) -> Result<(), InvalidArgs> {
        let positive = [
            ("num_gpu_blocks", self.num_gpu_blocks),
            ("block_size", self.block_size),
            ("max_num_seqs", self.max_num_seqs),
            ("max_num_batched_tokens", self.max_num_batched_tokens),
            ("dp_size", self.dp_size),
            ("max_model_len", self.max_model_len.unwrap_or(1)),
        ];
        for (name, value) in positive {
            ensure(value > 0, name, "must be at least 1")?;
        }
        let ratios = [
            ("speedup_ratio", self.speedup_ratio),
            ("decode_speedup_ratio", self.decode_speedup_ratio),
        ];
        for (name, value) in ratios {
            ensure(value.is_finite() && value >= 0.0, name, "must be 0 or more")?;
        }
        ensure(
            self.dp_size <= MAX_RANKS,
            "dp_size",
            "must be at most 65535",
        )?;
        ensure(
            (0.0..1.0).contains(&self.watermark),
            "watermark",
            "must be at least 0 and below 1",
        )?;
        ensure(
            !self.vocabulary.is_empty(),
            "vocabulary",
            "needs at least one token id",
        )
    }

    /// Longest sequence that can run to its end: one that outgrew the cache would preempt itself for ever.
    pub(crate) fn max_sequence_len(&self) -> usize {
        let cache = self.num_gpu_blocks as usize * self.block_size as usize;
        self.max_model_len
            .map_or(cache, |len| cache.min(len as usize))
    }
}

/// A rank travels in 16 bits of a batch record.
const MAX_RANKS: u32 = 65_535;

fn ensure(holds: bool, name: &'static str, problem: &'static str) -> Result<(), InvalidArgs> {
    if holds {
        Ok(())
    } else {
        Err(InvalidArgs { name, problem })
    }
}

/// A setting that no engine can run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidArgs {
    /// The setting.
    pub name: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl fmt::Display for InvalidArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.problem)
    }
}

impl std::error::Error for InvalidArgs {}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> EngineArgs {
        EngineArgs {
            vocabulary: Arc::from([65]),
            ..EngineArgs::default()
        }
    }

    #[test]
    fn defaults_with_a_vocabulary_are_valid() {
        assert_eq!(valid().validate(), Ok(()));
    }

    #[test]
    fn an_impossible_setting_is_named() {
        let name = |args: EngineArgs| args.validate().err().map(|error| error.name);
        assert_eq!(name(EngineArgs::default()), Some("vocabulary"));
        assert_eq!(
            name(EngineArgs {
                block_size: 0,
                ..valid()
            }),
            Some("block_size")
        );
        assert_eq!(
            name(EngineArgs {
                speedup_ratio: f64::NAN,
                ..valid()
            }),
            Some("speedup_ratio")
        );
        assert_eq!(
            name(EngineArgs {
                watermark: 1.0,
                ..valid()
            }),
            Some("watermark")
        );
    }

    #[test]
    fn the_cache_bounds_the_longest_sequence() {
        let args = EngineArgs {
            num_gpu_blocks: 4,
            block_size: 16,
            ..valid()
        };
        assert_eq!(args.max_sequence_len(), 64);
        assert_eq!(
            EngineArgs {
                max_model_len: Some(50),
                ..args
            }
            .max_sequence_len(),
            50
        );
    }
}
