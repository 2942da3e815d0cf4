//! One request inside a rank: its tokens as block hashes, the blocks it holds, and how far it has been computed.
//!
//! Token ids are not kept: blocks are known by their hashes, the model by its rolling state, and only the tokens of the
//! unfinished block are needed again.

use std::sync::Arc;

use dynamo_kv::{BlockSeed, local_block_hashes, next_sequence_hash};

use crate::args::EngineArgs;
use crate::block_pool::BlockId;
use crate::generator::Generator;
use crate::kv_events::BlockHash;

/// Identifies a request. Ids index a table: keep them small and reuse them when a request has finished.
pub type RequestId = u32;

/// What a caller asks for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Chosen by the caller.
    pub id: RequestId,
    /// Prompt; a request that moved here from another engine appends what was generated there.
    pub prompt: Vec<u32>,
    /// Most tokens to generate. Without it the answer ends where its content says, after 256 tokens at most.
    pub max_tokens: Option<u32>,
    /// Tokens before anything but `max_tokens` may end the answer.
    pub min_tokens: u32,
    /// Reports the end of an answer without `max_tokens` as a length limit instead of an end-of-sequence.
    pub ignore_eos: bool,
    /// Generating one of these ends the answer; the token is given out.
    pub stop_token_ids: Vec<u32>,
    /// The request's own sampling seed.
    pub seed: Option<u64>,
    /// Adapter; its blocks are cached apart.
    pub lora_name: String,
    /// Cache salt; its blocks are cached apart.
    pub cache_salt: String,
    /// Data-parallel rank; the least loaded one when absent.
    pub dp_rank: Option<u32>,
}

/// Why an answer ended. Numbers are those of `dynamo.llm.v1.FinishReason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Finish {
    /// The seeded end of the answer.
    Eos = 1,
    /// `max_tokens`, or the longest sequence the engine takes.
    Length = 2,
    /// A stop token id.
    Stop = 3,
    /// It can never run; see [`Rejection`].
    Error = 4,
    /// The caller cancelled it.
    Cancelled = 5,
}

/// Why a request can never run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rejection {
    /// The prompt has no tokens.
    EmptyPrompt = 1,
    /// The prompt needs more blocks than the cache has, or is longer than `max_model_len`.
    PromptTooLong = 2,
    /// Without chunked prefill, the prompt is larger than one pass.
    PromptExceedsPass = 3,
    /// There is no such data-parallel rank.
    UnknownRank = 4,
    /// A request with this id is running.
    DuplicateId = 5,
}

/// A request that an engine has accepted.
#[derive(Debug)]
pub struct Sequence {
    /// Rank that serves it.
    pub rank: u32,
    /// Distinguishes this request from a later one with the same id.
    pub ticket: u64,
    /// Blocks held, in order.
    pub blocks: Vec<BlockId>,
    /// Tokens whose KV is in the held blocks.
    pub computed: usize,
    /// Prompt tokens reused from the cache when first admitted.
    pub cached_tokens: u32,
    /// Times its blocks were taken away.
    pub preemptions: u32,
    /// Tokens to compute before decoding (again) begins.
    pub prefill_target: usize,
    /// Leading blocks that have their hash.
    pub promoted: usize,
    request: Request,
    args: Arc<EngineArgs>,
    hash_seed: BlockSeed,
    hashes: Vec<BlockHash>,
    tail: Vec<u32>,
    len: usize,
    generated: u32,
    generator: Generator,
}

impl Sequence {
    /// Hashes the prompt and gives its memory back.
    #[must_use]
    pub fn new(mut request: Request, rank: u32, ticket: u64, args: Arc<EngineArgs>) -> Self {
        let prompt = std::mem::take(&mut request.prompt);
        let mut generator = Generator::new(args.seed, request.seed);
        generator.extend(&prompt);
        let block_size = args.block_size as usize;
        let mut sequence = Self {
            rank,
            ticket,
            blocks: Vec::new(),
            computed: 0,
            cached_tokens: 0,
            preemptions: 0,
            prefill_target: prompt.len(),
            promoted: 0,
            hash_seed: BlockSeed::new(&request.lora_name, &request.cache_salt),
            request,
            args,
            hashes: Vec::with_capacity(prompt.len() / block_size + 1),
            tail: prompt[prompt.len() - prompt.len() % block_size..].to_vec(),
            len: prompt.len(),
            generated: 0,
            generator,
        };
        sequence.append_hashes(&prompt);
        sequence
    }

    /// Tokens so far, prompt included.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // a sequence has a prompt
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tokens still to be computed; 1 while decoding.
    #[must_use]
    pub fn uncomputed(&self) -> usize {
        self.len - self.computed
    }

    /// Prompt tokens (and tokens lost to preemption) still to be computed.
    #[must_use]
    pub fn unfinished_prefill(&self) -> usize {
        self.prefill_target.saturating_sub(self.computed)
    }

    /// Hashes of complete blocks, as far as the tokens are known; empty without prefix caching.
    #[must_use]
    pub fn hashes(&self) -> &[BlockHash] {
        &self.hashes
    }

    /// Hashes of blocks that may be reused: at least one token must be left to compute.
    #[must_use]
    pub fn reusable(&self) -> &[BlockHash] {
        let block_size = self.args.block_size as usize;
        let most = self.len.saturating_sub(1) / block_size;
        &self.hashes[..most.min(self.hashes.len())]
    }

    /// Generates the next token; also says whether it is the last one.
    pub fn generate(&mut self) -> (u32, Option<Finish>) {
        let token = self.generator.next_token(&self.args.vocabulary);
        self.generator.push(token);
        self.len += 1;
        self.generated += 1;
        self.tail.push(token);
        if self.tail.len() == self.args.block_size as usize {
            let block = std::mem::take(&mut self.tail);
            self.append_hashes(&block);
        }
        (token, self.finish(token))
    }

    /// Loses its blocks: everything is computed again.
    pub fn reset(&mut self) -> Vec<BlockId> {
        self.computed = 0;
        self.promoted = 0;
        self.preemptions += 1;
        self.prefill_target = self.len;
        std::mem::take(&mut self.blocks)
    }

    fn finish(&self, token: u32) -> Option<Finish> {
        let limit = self.request.max_tokens;
        if limit.is_some_and(|max| self.generated >= max)
            || self.len >= self.args.max_sequence_len()
        {
            return Some(Finish::Length);
        }
        if self.generated < self.request.min_tokens {
            return None;
        }
        if self.request.stop_token_ids.contains(&token) {
            return Some(Finish::Stop);
        }
        if limit.is_none() && self.generator.at_boundary() {
            return Some(if self.request.ignore_eos {
                Finish::Length
            } else {
                Finish::Eos
            });
        }
        None
    }

    fn append_hashes(&mut self, tokens: &[u32]) {
        if !self.args.enable_prefix_caching {
            return;
        }
        let block_size = self.args.block_size as usize;
        for local in local_block_hashes(tokens, block_size, self.hash_seed) {
            let parent = self.hashes.last().map(|block| block.sequence);
            self.hashes.push(BlockHash {
                local,
                sequence: next_sequence_hash(parent, local),
            });
        }
    }
}
