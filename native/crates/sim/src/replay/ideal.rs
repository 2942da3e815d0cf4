use std::collections::HashSet;

use dynamo_kv::sequence_hashes;

use super::trace::Trace;

/// Prompt tokens that one cache without bounds would have held when each request came: no placement can reach more.
///
/// An engine always computes at least the last token of a prompt.
pub(super) fn ideal_cached_tokens(trace: &Trace) -> u64 {
    let block_size = trace.block_size.max(1);
    let mut seen = HashSet::new();
    let mut tokens = 0;
    for request in &trace.requests {
        let hashes = sequence_hashes(&request.block_hashes);
        let known = hashes
            .iter()
            .take_while(|hash| seen.contains(*hash))
            .count() as u64;
        let most = u64::from(request.prompt_tokens.saturating_sub(1) / block_size);
        tokens += known.min(most) * u64::from(block_size);
        seen.extend(hashes);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::TraceRequest;

    #[test]
    fn counts_prefixes_that_came_before_and_leaves_a_token_to_compute() {
        let request = |prompt_tokens, hashes: &[u64]| TraceRequest {
            prompt_tokens,
            block_hashes: hashes.to_vec(),
            ..TraceRequest::default()
        };
        let trace = Trace {
            block_size: 4,
            requests: vec![
                request(12, &[1, 2, 3]),
                request(13, &[1, 2, 3]),
                request(12, &[1, 2, 3]),
                request(12, &[1, 9, 3]),
                request(8, &[2, 3]),
            ],
        };
        assert_eq!(ideal_cached_tokens(&trace), 12 + 8 + 4);
    }
}
