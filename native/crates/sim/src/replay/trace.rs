/// Requests in order of arrival.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// Tokens per block that the hashes were made with.
    pub block_size: u32,
    /// The requests.
    pub requests: Vec<TraceRequest>,
}

/// One recorded request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceRequest {
    /// Since the first one, in nanoseconds.
    pub arrival_ns: u64,
    /// Length of the prompt.
    pub prompt_tokens: u32,
    /// Length of the answer; at least 1.
    pub output_tokens: u32,
    /// Local hashes of the prompt's complete blocks.
    pub block_hashes: Vec<u64>,
}
