//! The life of requests on their ranks: add → prefill completed → output blocks → free, or expiry of the forgotten.
//!
//! Guarantees: whatever order requests end in, a rank without requests has a load of exactly zero. Not shared between
//! threads by itself; the owner locks.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use super::live_paths::LivePaths;
use super::path_node::WHOLE;
use super::request::{ActiveRequest, NewRequest};
use crate::index::WorkerRank;

/// Settings of [`ActiveSequences`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceOptions {
    /// Keep every nth block hash of a prompt and count it n-fold; routers that share load need the same value.
    pub stride: usize,
    /// A request that nothing was heard of for so long is freed; not shorter than the request timeout.
    pub expiry_ms: u64,
}

impl Default for SequenceOptions {
    /// Every block, one hour.
    fn default() -> Self {
        Self {
            stride: 1,
            expiry_ms: 3_600_000,
        }
    }
}

/// Why a request was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddError {
    /// Its id is active already.
    Duplicate,
}

impl fmt::Display for AddError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a request with this id is active already")
    }
}

impl std::error::Error for AddError {}

/// Active requests of all ranks.
#[derive(Debug)]
pub struct ActiveSequences {
    options: SequenceOptions,
    requests: HashMap<Box<str>, ActiveRequest>,
    ranks: HashMap<WorkerRank, u32>,
    free_slots: Vec<u32>,
    /// Nothing expires before; requests that were heard of since make it too early, never too late.
    next_expiry_ms: u64,
    pub(super) slots: Vec<Slot>,
    pub(super) live: LivePaths,
}

/// Sums over one rank's requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub(super) prefill_tokens: u64,
    pub(super) weight: u64,
    pub(super) requests: u32,
}

impl ActiveSequences {
    /// No requests, no ranks.
    #[must_use]
    pub fn new(options: SequenceOptions) -> Self {
        Self {
            options,
            requests: HashMap::new(),
            ranks: HashMap::new(),
            free_slots: Vec::new(),
            next_expiry_ms: u64::MAX,
            slots: Vec::new(),
            live: LivePaths::default(),
        }
    }

    /// A rank takes a request on.
    ///
    /// # Errors
    /// When the id is active already; nothing changes then.
    pub fn add(&mut self, request: &NewRequest<'_>) -> Result<(), AddError> {
        if self.requests.contains_key(request.id) {
            return Err(AddError::Duplicate);
        }
        let slot = self.take_slot(request.rank);
        let kept = kept_hashes(request.sequence_hashes, self.stride());
        let (end, grown) = self.live.retain(&kept, slot);
        let active = ActiveRequest {
            slot,
            end,
            private_blocks: u64::from(request.private_blocks),
            private_weight: WHOLE,
            prefill_tokens: request.prefill_tokens,
            touched_ms: request.now_ms,
        };
        let stride = self.stride() as u64;
        let load = &mut self.slots[slot as usize];
        load.requests += 1;
        load.prefill_tokens = load.prefill_tokens.saturating_add(request.prefill_tokens);
        load.weight += grown * stride + active.private_total();
        let expiry = request.now_ms.saturating_add(self.options.expiry_ms);
        self.next_expiry_ms = self.next_expiry_ms.min(expiry);
        self.requests.insert(request.id.into(), active);
        Ok(())
    }

    /// The first output token came: the prompt is computed. Returns whether the request is active.
    pub fn mark_prefill_completed(&mut self, id: &str, now_ms: u64) -> bool {
        let Some(request) = self.requests.get_mut(id) else {
            return false;
        };
        request.touched_ms = now_ms;
        let tokens = std::mem::take(&mut request.prefill_tokens);
        let load = &mut self.slots[request.slot as usize];
        load.prefill_tokens = load.prefill_tokens.saturating_sub(tokens);
        true
    }

    /// Something was heard of the request. Returns whether it is active.
    pub fn touch(&mut self, id: &str, now_ms: u64) -> bool {
        let Some(request) = self.requests.get_mut(id) else {
            return false;
        };
        request.touched_ms = now_ms;
        true
    }

    /// Output has filled one more block. `remaining` (1 − progress towards the expected length, 0–1) weighs every block
    /// that the request alone uses: what is nearly done will soon be free. Returns whether the request is active.
    pub fn add_output_block(&mut self, id: &str, remaining: Option<f64>, now_ms: u64) -> bool {
        let stride = self.stride() as u64;
        let Some(request) = self.requests.get_mut(id) else {
            return false;
        };
        request.touched_ms = now_ms;
        let before = request.private_total();
        let load = &mut self.slots[request.slot as usize];
        request.private_blocks += 1;
        if let Some(remaining) = remaining {
            let weight = weight_of(remaining);
            request.private_weight = weight;
            let (end, slot) = (request.end, request.slot);
            self.live.reweigh(end, slot, weight, |old, new| {
                load.weight = load.weight - old * stride + new * stride;
            });
        }
        load.weight = load.weight - before + request.private_total();
        true
    }

    /// The request ended, however it ended. Returns whether it was active.
    pub fn free(&mut self, id: &str) -> bool {
        let Some(request) = self.requests.remove(id) else {
            return false;
        };
        self.release(&request);
        true
    }

    /// Frees requests that nothing was heard of for too long; returns their ids.
    pub fn expire(&mut self, now_ms: u64) -> Vec<String> {
        if now_ms < self.next_expiry_ms {
            return Vec::new();
        }
        let expiry_ms = self.options.expiry_ms;
        let gone =
            self.free_where(|request| now_ms.saturating_sub(request.touched_ms) >= expiry_ms);
        let expiries = self.requests.values();
        let expiries = expiries.map(|request| request.touched_ms.saturating_add(expiry_ms));
        self.next_expiry_ms = expiries.min().unwrap_or(u64::MAX);
        gone
    }

    /// Forgets a rank and its requests; returns their ids.
    pub fn remove_rank(&mut self, rank: WorkerRank) -> Vec<String> {
        let Some(slot) = self.ranks.remove(&rank) else {
            return Vec::new();
        };
        let freed = self.free_where(|request| request.slot == slot);
        self.free_slots.push(slot);
        freed
    }

    /// Forgets a rank that has no requests.
    pub fn forget_idle(&mut self, rank: WorkerRank) {
        let slot = self.slot_of(rank);
        if let Some(slot) = slot.filter(|slot| self.slots[*slot as usize].requests == 0) {
            self.ranks.remove(&rank);
            self.free_slots.push(slot);
        }
    }

    /// Forgets every rank of a worker and their requests; returns the ids.
    pub fn remove_worker(&mut self, worker_id: u64) -> Vec<String> {
        let known = self.ranks.keys();
        let ranks: Vec<_> = known
            .filter(|rank| rank.worker_id == worker_id)
            .copied()
            .collect();
        ranks
            .into_iter()
            .flat_map(|rank| self.remove_rank(rank))
            .collect()
    }

    /// Rank that a request runs on.
    #[must_use]
    pub fn rank_of(&self, id: &str) -> Option<WorkerRank> {
        let slot = self.requests.get(id)?.slot;
        self.ranks
            .iter()
            .find_map(|(rank, known)| (*known == slot).then_some(*rank))
    }

    /// Requests not finished, over all ranks.
    #[must_use]
    pub fn active_requests(&self) -> usize {
        self.requests.len()
    }

    /// Memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.requests.keys().map(|id| id.len()).sum::<usize>()
            + self.requests.capacity() * (size_of::<ActiveRequest>() + 17)
            + self.slots.capacity() * size_of::<Slot>()
            + self.live.bytes()
    }

    /// Distinct block hashes in use, over all ranks.
    #[must_use]
    pub fn distinct_blocks(&self) -> usize {
        self.live.len()
    }

    pub(super) fn slot_of(&self, rank: WorkerRank) -> Option<u32> {
        self.ranks.get(&rank).copied()
    }

    pub(super) fn stride(&self) -> usize {
        self.options.stride.max(1)
    }

    fn take_slot(&mut self, rank: WorkerRank) -> u32 {
        if let Some(slot) = self.ranks.get(&rank) {
            return *slot;
        }
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            // Ranks are instances in a cluster: four billion of them do not fit into memory.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.ranks.insert(rank, slot);
        slot
    }

    fn free_where(&mut self, done: impl Fn(&ActiveRequest) -> bool) -> Vec<String> {
        let gone: Vec<_> = self
            .requests
            .extract_if(|_, request| done(request))
            .collect();
        gone.into_iter()
            .map(|(id, request)| {
                self.release(&request);
                id.into_string()
            })
            .collect()
    }

    fn release(&mut self, request: &ActiveRequest) {
        let shrunk = self.live.release(request.end, request.slot);
        let stride = self.stride() as u64;
        let load = &mut self.slots[request.slot as usize];
        load.requests -= 1;
        load.prefill_tokens = load.prefill_tokens.saturating_sub(request.prefill_tokens);
        load.weight -= shrunk * stride + request.private_total();
    }
}

/// Every `stride`th hash of a chain.
pub(super) fn kept_hashes(hashes: &[u64], stride: usize) -> Cow<'_, [u64]> {
    match stride {
        1 => Cow::Borrowed(hashes),
        _ => Cow::Owned(
            hashes
                .iter()
                .skip(stride - 1)
                .step_by(stride)
                .copied()
                .collect(),
        ),
    }
}

/// Weight of a fraction; what is no number weighs fully.
fn weight_of(fraction: f64) -> u64 {
    if fraction.is_nan() {
        return WHOLE;
    }
    // Between 0 and WHOLE by the clamp.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let weight = (fraction.clamp(0.0, 1.0) * WHOLE as f64) as u64;
    weight
}
