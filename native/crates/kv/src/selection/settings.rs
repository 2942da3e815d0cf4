//! Weights of the cost.

use std::fmt;

/// Tokens of work that a running request counts as beside its blocks, which it may share with many: without it a long
/// prompt that all requests begin with keeps them on the few workers that have it. Routers default
/// [`CostSettings::decode_active_request_weight`] to this over the block size.
pub const ACTIVE_REQUEST_TOKENS: f64 = 384.0;

/// [`CostSettings::displacement_weight`] that routers default to. Found on a simulated fleet of four workers whose caches
/// hold a third more than the prefixes in use: less leaves second copies of prefixes in each other's way, more gains
/// little and costs balance.
pub const DISPLACEMENT_WEIGHT: f64 = 4.0;

/// How load and overlap become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SelectionPolicy {
    /// Prefill and decode blocks, added.
    #[default]
    Linear,
    /// Prefill blocks times decode blocks plus one. A full overlap costs nothing however loaded the worker is.
    Lmetric,
}

impl SelectionPolicy {
    /// Stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Lmetric => "lmetric",
        }
    }

    /// The policy of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Linear, Self::Lmetric];
        all.into_iter().find(|policy| policy.as_str() == name)
    }
}

/// Weights and switches of the cost; a request may override them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostSettings {
    /// Policy.
    pub policy: SelectionPolicy,
    /// Blocks saved per device block of overlap.
    pub overlap_score_credit: f64,
    /// How fast that credit falls with a rank's prefill backlog above the least loaded one's; 0 keeps it.
    pub overlap_score_credit_decay: f64,
    /// Weight of prefill against decode.
    pub prefill_load_scale: f64,
    /// Blocks saved per block found in host memory.
    pub host_cache_hit_weight: f64,
    /// Blocks saved per block found on disk.
    pub disk_cache_hit_weight: f64,
    /// Blocks saved per block found in the shared cache beyond the device's prefix.
    pub shared_cache_multiplier: f64,
    /// Cost of each request a rank already has.
    pub decode_active_request_weight: f64,
    /// Cost of each cached block that the request's new blocks would displace.
    pub displacement_weight: f64,
    /// Softmax temperature; 0 takes the lowest cost.
    pub temperature: f64,
    /// Whether prefill tokens count; off for decode-only ranks.
    pub track_prefill_tokens: bool,
}

impl Default for CostSettings {
    fn default() -> Self {
        Self {
            policy: SelectionPolicy::Linear,
            overlap_score_credit: 1.0,
            overlap_score_credit_decay: 0.0,
            prefill_load_scale: 1.0,
            host_cache_hit_weight: 0.75,
            disk_cache_hit_weight: 0.25,
            shared_cache_multiplier: 0.0,
            decode_active_request_weight: 0.0,
            displacement_weight: DISPLACEMENT_WEIGHT,
            temperature: 0.0,
            track_prefill_tokens: true,
        }
    }
}

impl CostSettings {
    /// Checks every weight.
    ///
    /// # Errors
    /// With the first weight that is negative or no finite number.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let weights = [
            ("overlap_score_credit", self.overlap_score_credit),
            (
                "overlap_score_credit_decay",
                self.overlap_score_credit_decay,
            ),
            ("prefill_load_scale", self.prefill_load_scale),
            ("host_cache_hit_weight", self.host_cache_hit_weight),
            ("disk_cache_hit_weight", self.disk_cache_hit_weight),
            ("shared_cache_multiplier", self.shared_cache_multiplier),
            (
                "decode_active_request_weight",
                self.decode_active_request_weight,
            ),
            ("displacement_weight", self.displacement_weight),
            ("router_temperature", self.temperature),
        ];
        let invalid = weights
            .into_iter()
            .find(|(_, value)| !value.is_finite() || *value < 0.0);
        invalid.map_or(Ok(()), |(name, value)| Err(InvalidSetting { name, value }))
    }

    /// Applies the deprecated `overlap_score_weight`: it scales prefill, and 0 also takes the overlap's credit away.
    #[must_use]
    pub fn with_overlap_score_weight(mut self, weight: f64) -> Self {
        self.prefill_load_scale = weight;
        if weight == 0.0 {
            self.overlap_score_credit = 0.0;
        }
        self
    }
}

/// A weight that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InvalidSetting {
    /// Name as in a request's override.
    pub name: &'static str,
    /// What was given.
    pub value: f64,
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value } = self;
        write!(formatter, "{name} is {value}: use a finite number from 0")
    }
}

impl std::error::Error for InvalidSetting {}
