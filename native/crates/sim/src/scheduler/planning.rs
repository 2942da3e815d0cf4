//! What the next pass computes: who goes on, who is admitted, who yields.

use super::{MAX_LAG_NS, Pass, Rank, Work};
use crate::args::PreemptionMode;
use crate::sequence::{RequestId, Sequence};
use crate::sequence_table::SequenceTable;
use crate::timing::{PassShape, pass_duration_ns};

struct Plan {
    work: Vec<Work>,
    budget: usize,
    preempted: bool,
}

impl Rank {
    pub(super) fn begin(&mut self, now: u64, table: &mut SequenceTable) {
        if self.requests() == 0 {
            return;
        }
        let budget = self.args.max_num_batched_tokens as usize;
        let mut plan = Plan {
            work: Vec::new(),
            budget,
            preempted: false,
        };
        self.plan_running(table, &mut plan);
        if !plan.preempted || plan.work.is_empty() {
            self.admit(table, &mut plan);
        }
        let start = self.next_start.max(now.saturating_sub(MAX_LAG_NS));
        let duration = pass_duration_ns(self.shape(&plan.work), &self.args);
        self.pass = Some(Pass {
            ends_at: start + duration,
            work: plan.work,
        });
    }

    fn plan_running(&mut self, table: &mut SequenceTable, plan: &mut Plan) {
        let mut position = 0;
        while position < self.running.len() && plan.budget > 0 {
            let id = self.running[position];
            let Some(sequence) = table.get(id) else { break };
            let tokens = sequence.uncomputed().min(plan.budget);
            let needed = self.blocks_needed(sequence, tokens);
            while self.pool.available() < needed {
                let victim = self.victim(table);
                self.preempt(victim, table, plan);
                if victim == position {
                    return;
                }
                position -= usize::from(victim < position);
            }
            self.assign(id, tokens, table, plan);
            position += 1;
        }
    }

    /// Position of the running request that yields. Either rule leaves one request that never yields to another, the
    /// first in line or the last to arrive, so that a crowd cannot take turns at losing its work for ever.
    fn victim(&self, table: &SequenceTable) -> usize {
        let arrival = |id: &RequestId| table.get(*id).map(|sequence| sequence.ticket);
        match self.args.preemption_mode {
            PreemptionMode::Lifo => self.running.len() - 1,
            PreemptionMode::Fifo => {
                let positions = 0..self.running.len();
                positions
                    .min_by_key(|&position| arrival(&self.running[position]))
                    .unwrap_or(0)
            }
        }
    }

    fn admit(&mut self, table: &mut SequenceTable, plan: &mut Plan) {
        while plan.budget > 0 && self.running.len() < self.args.max_num_seqs as usize {
            let Some(&id) = self.waiting.front() else {
                return;
            };
            let Some(sequence) = table.get_mut(id) else {
                return;
            };
            let block_size = self.args.block_size as usize;
            let reusable = sequence.reusable().iter().map(|block| block.sequence);
            let prefix = self.pool.find_prefix(reusable);
            let uncached = sequence.len() - prefix.blocks * block_size;
            let tokens = if self.args.enable_chunked_prefill {
                uncached.min(plan.budget)
            } else if uncached <= plan.budget || plan.work.is_empty() {
                uncached
            } else {
                return;
            };
            let end = prefix.blocks * block_size + tokens;
            let needed = end.div_ceil(block_size) - prefix.blocks;
            if self.pool.available() < needed + prefix.inactive + self.reserve() {
                return;
            }
            self.waiting.pop_front();
            self.running.push(id);
            self.reuse_prefix(sequence, prefix.blocks);
            self.assign(id, tokens, table, plan);
        }
    }

    /// Blocks that admission leaves free. A lone request may have all: it would never get in otherwise.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a share of a u32, never negative
    fn reserve(&self) -> usize {
        if self.running.is_empty() {
            return 0;
        }
        (self.args.watermark * f64::from(self.args.num_gpu_blocks)).ceil() as usize
    }

    fn reuse_prefix(&mut self, sequence: &mut Sequence, blocks: usize) {
        for index in 0..blocks {
            let hash = sequence.reusable()[index].sequence;
            let Some(block) = self.pool.acquire(hash) else {
                break;
            };
            sequence.blocks.push(block);
        }
        let cached = sequence.blocks.len() * self.args.block_size as usize;
        self.prefill_tokens -= cached as u64;
        sequence.computed = cached;
        sequence.promoted = sequence.blocks.len();
        if sequence.preemptions == 0 {
            sequence.cached_tokens = u32::try_from(cached).unwrap_or(u32::MAX);
            self.totals.cached_tokens += cached as u64;
        }
    }

    /// Gives a running request its blocks and its place in the pass. The caller has seen that there are enough blocks.
    fn assign(&mut self, id: RequestId, tokens: usize, table: &mut SequenceTable, plan: &mut Plan) {
        let Some(sequence) = table.get_mut(id) else {
            return;
        };
        for _ in 0..self.blocks_needed(sequence, tokens) {
            sequence
                .blocks
                .extend(self.pool.allocate(&mut self.removed));
        }
        plan.budget = plan.budget.saturating_sub(tokens);
        plan.work.push(Work {
            id,
            ticket: sequence.ticket,
            tokens,
            is_prefill: sequence.unfinished_prefill() > 0,
        });
    }

    fn blocks_needed(&self, sequence: &Sequence, tokens: usize) -> usize {
        let blocks = (sequence.computed + tokens).div_ceil(self.args.block_size as usize);
        blocks.saturating_sub(sequence.blocks.len())
    }

    fn preempt(&mut self, victim: usize, table: &mut SequenceTable, plan: &mut Plan) {
        let id = self.running.remove(victim);
        plan.preempted = true;
        self.totals.preemptions += 1;
        self.waiting.push_front(id);
        if let Some(planned) = plan.work.iter().position(|work| work.id == id) {
            plan.budget += plan.work.remove(planned).tokens;
        }
        if let Some(sequence) = table.get_mut(id) {
            self.prefill_tokens -= sequence.unfinished_prefill() as u64;
            let blocks = sequence.reset();
            self.prefill_tokens += sequence.unfinished_prefill() as u64;
            self.release(blocks);
        }
    }

    fn shape(&self, work: &[Work]) -> PassShape {
        let mut shape = PassShape::default();
        for share in work {
            if share.is_prefill {
                shape.prefill_tokens += u32::try_from(share.tokens).unwrap_or(u32::MAX);
            } else {
                shape.decode_requests += 1;
            }
        }
        let active = u32::try_from(self.pool.active()).unwrap_or(u32::MAX);
        shape.utilization = f64::from(active) / f64::from(self.args.num_gpu_blocks);
        shape
    }
}
