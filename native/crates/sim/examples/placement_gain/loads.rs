//! What the fleets are asked.

/// Where requests come from; each has the conversation it belongs to.
pub struct Load {
    pub name: &'static str,
    pub workers: u64,
    /// Requests under way.
    pub concurrency: usize,
    /// The fleet fills up by one request each so many milliseconds; all at once when 0.
    pub ramp_ms: u64,
    pub requests: u32,
    pub prefixes: u64,
    pub prefix_tokens: u32,
    /// Tokens of a request beyond what it shares.
    pub own_tokens: (u32, u32),
    pub output_tokens: u32,
    /// Turns of a conversation; 1 for none.
    pub turns: u32,
    pub sessions: usize,
}

pub const LOADS: [Load; 5] = [
    Load {
        name: "24 shared prefixes",
        workers: 4,
        concurrency: 16,
        ramp_ms: 0,
        requests: 1600,
        prefixes: 24,
        prefix_tokens: 4000,
        own_tokens: (200, 201),
        output_tokens: 16,
        turns: 1,
        sessions: 0,
    },
    Load {
        name: "24 shared prefixes, from cold",
        workers: 4,
        concurrency: 16,
        ramp_ms: 0,
        requests: 480,
        prefixes: 24,
        prefix_tokens: 4000,
        own_tokens: (200, 201),
        output_tokens: 16,
        turns: 1,
        sessions: 0,
    },
    Load {
        name: "conversations",
        workers: 4,
        concurrency: 16,
        ramp_ms: 0,
        requests: 1600,
        prefixes: 1 << 40,
        prefix_tokens: 600,
        own_tokens: (300, 301),
        output_tokens: 100,
        turns: 8,
        sessions: 40,
    },
    Load {
        name: "nothing shared",
        workers: 4,
        concurrency: 16,
        ramp_ms: 0,
        requests: 1200,
        prefixes: 1,
        prefix_tokens: 0,
        own_tokens: (200, 4000),
        output_tokens: 64,
        turns: 1,
        sessions: 0,
    },
    Load {
        name: "one prompt for all",
        workers: 8,
        concurrency: 48,
        ramp_ms: 100,
        requests: 1500,
        prefixes: 1,
        prefix_tokens: 4096,
        own_tokens: (200, 201),
        output_tokens: 200,
        turns: 1,
        sessions: 0,
    },
];
