//! How long one pass takes: the polynomial model of RP 9.4.

use crate::args::EngineArgs;

/// Shortest decode step before any speed-up, in milliseconds.
const DECODE_FLOOR_MS: f64 = 1.0;
const NS_PER_MS: f64 = 1e6;

/// Milliseconds to compute `new_tokens` prompt tokens in one pass.
#[must_use]
pub fn prefill_ms(new_tokens: u32) -> f64 {
    if new_tokens == 0 {
        return 0.0;
    }
    let tokens = f64::from(new_tokens);
    4.209_989e-7 * tokens * tokens + 1.518_344e-2 * tokens + 16.501_42
}

/// Milliseconds of one decode step when `utilization` (0 to 1) of the cache holds the KV of running requests.
#[must_use]
pub fn decode_ms(utilization: f64) -> f64 {
    let used = utilization.min(1.0);
    (-25.74 * used * used + 54.01 * used + 5.74).max(DECODE_FLOOR_MS)
}

/// What one pass computes.
#[derive(Debug, Clone, Copy, Default)]
pub struct PassShape {
    /// Prompt tokens computed in this pass, of all requests together.
    pub prefill_tokens: u32,
    /// Requests that decode one token.
    pub decode_requests: u32,
    /// Share of the cache in use, 0 to 1.
    pub utilization: f64,
}

/// Duration of a pass in nanoseconds, sped up as the settings say.
#[must_use]
pub fn pass_duration_ns(shape: PassShape, args: &EngineArgs) -> u64 {
    let decode = if shape.decode_requests == 0 {
        0.0
    } else {
        decode_ms(shape.utilization)
    };
    let decode = speed_up(decode, args.decode_speedup_ratio);
    let total = speed_up(
        prefill_ms(shape.prefill_tokens) + decode,
        args.speedup_ratio,
    );
    whole_ns(total * NS_PER_MS)
}

/// A ratio of 0 means infinitely fast.
fn speed_up(duration: f64, ratio: f64) -> f64 {
    if ratio == 0.0 { 0.0 } else { duration / ratio }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, durations are never negative
fn whole_ns(ns: f64) -> u64 {
    ns.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(actual: f64, expected: f64) {
        assert!(
            (actual - expected).abs() < 1e-4,
            "{actual} is not {expected}"
        );
    }

    #[test]
    fn prefill_matches_the_golden_table() {
        for (tokens, ms) in [
            (0, 0.0),
            (1, 16.5166),
            (512, 24.3857),
            (2048, 49.3629),
            (8192, 169.1369),
        ] {
            assert_close(prefill_ms(tokens), ms);
        }
    }

    #[test]
    fn decode_matches_the_golden_table() {
        for (used, ms) in [
            (0.0, 5.74),
            (0.1, 10.8836),
            (0.5, 26.31),
            (0.9, 33.4996),
            (1.0, 34.01),
            (2.0, 34.01),
        ] {
            assert_close(decode_ms(used), ms);
        }
    }

    #[test]
    fn a_pass_adds_prefill_and_decode_and_divides_by_both_ratios() {
        let shape = PassShape {
            prefill_tokens: 512,
            decode_requests: 3,
            utilization: 0.5,
        };
        let ns = |speedup_ratio, decode_speedup_ratio| {
            let args = EngineArgs {
                speedup_ratio,
                decode_speedup_ratio,
                ..EngineArgs::default()
            };
            pass_duration_ns(shape, &args)
        };
        assert_eq!(ns(1.0, 1.0) / 1_000, 50_695);
        assert_eq!(ns(20.0, 1.0) / 1_000, 2_534);
        assert_eq!(ns(1.0, 2.0) / 1_000, 37_540);
        assert_eq!(ns(1.0, 0.0) / 1_000, 24_385);
        assert_eq!(ns(0.0, 1.0), 0);
    }

    #[test]
    fn a_pass_without_decode_requests_costs_its_prefill_only() {
        let shape = PassShape {
            prefill_tokens: 512,
            decode_requests: 0,
            utilization: 0.5,
        };
        assert_eq!(
            pass_duration_ns(shape, &EngineArgs::default()) / 1_000,
            24_385
        );
    }
}
