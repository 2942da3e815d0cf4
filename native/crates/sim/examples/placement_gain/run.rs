//! One fleet under one load with one policy.

use std::collections::{HashMap, VecDeque};

use dynamo_kv::{
    CostSettings, KvPublisher, PlaceRequest, Placement, PlacementSettings, Prompt,
    PublisherOptions, SelectionMode, SequenceOptions, WorkerFacts,
};
use dynamo_sim::{Batch, Engine, EngineArgs, Request};

use super::loads::Load;
use super::policies::Policy;
use super::{BLOCK, BLOCKS};

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A conversation: what was said, and the turns left.
#[derive(Clone)]
struct Session {
    said: Vec<u32>,
    turns: u32,
}

struct UnderWay {
    worker: usize,
    since_ns: u64,
    session: Session,
    has_begun: bool,
}

pub struct Run<'a> {
    load: &'a Load,
    placement: Placement,
    mode: SelectionMode,
    engines: Vec<Engine>,
    publishers: Vec<KvPublisher>,
    batch: Batch,
    random: Random,
    now_ns: u64,
    next_id: u32,
    ready: VecDeque<Session>,
    under_way: HashMap<u32, UnderWay>,
    prompt_tokens: u64,
    cached_tokens: u64,
    served: Vec<u64>,
    ttft_ms: Vec<f64>,
}

impl<'a> Run<'a> {
    pub fn new(load: &'a Load, policy: &Policy) -> Self {
        let mut placement = Placement::new(PlacementSettings {
            block_size: BLOCK,
            use_kv_events: true,
            track_active_blocks: true,
            assume_kv_reuse: true,
            sequences: SequenceOptions::default(),
            cost: CostSettings {
                displacement_weight: policy.displacement,
                decode_active_request_weight: policy.per_request,
                ..CostSettings::default()
            },
            seed: 1,
            ..PlacementSettings::default()
        })
        .expect("settings");
        for worker_id in 0..load.workers {
            placement.set_worker(&WorkerFacts {
                worker_id,
                dp_size: 1,
                total_kv_blocks: u64::from(BLOCKS),
                kv_events: true,
                ..WorkerFacts::default()
            });
        }
        let args = EngineArgs {
            num_gpu_blocks: BLOCKS,
            block_size: BLOCK,
            vocabulary: (0..1000).collect(),
            ..EngineArgs::default()
        };
        let publisher = |worker| {
            KvPublisher::new(PublisherOptions::new(worker, 1, BLOCK as usize)).expect("options")
        };
        let mut run = Self {
            load,
            placement,
            mode: policy.mode,
            engines: (0..load.workers)
                .map(|_| Engine::new(args.clone()).expect("arguments"))
                .collect(),
            publishers: (0..load.workers).map(publisher).collect(),
            batch: Batch::new(),
            random: Random(2),
            now_ns: 0,
            next_id: 0,
            ready: VecDeque::new(),
            under_way: HashMap::new(),
            prompt_tokens: 0,
            cached_tokens: 0,
            served: vec![0; usize::try_from(load.workers).expect("few")],
            ttft_ms: Vec::new(),
        };
        for _ in 0..load.sessions {
            let session = run.begin_session();
            run.ready.push_back(session);
        }
        run
    }

    pub fn finish(mut self) -> String {
        loop {
            self.admit();
            let due = self.engines.iter().filter_map(Engine::next_due).min();
            let due = match (due, self.next_arrival()) {
                (Some(due), Some(arrival)) => due.min(arrival),
                (Some(at), None) | (None, Some(at)) => at,
                (None, None) => break,
            };
            self.now_ns = self.now_ns.max(due);
            (0..self.engines.len()).for_each(|worker| self.settle(worker));
        }
        self.report()
    }

    fn is_over(&self) -> bool {
        self.next_id >= self.load.requests
    }

    /// Requests that may be under way by now.
    fn allowed(&self) -> usize {
        match self.load.ramp_ms {
            0 => self.load.concurrency,
            ramp => {
                let ramped = self.now_ns / 1_000_000 / ramp + 1;
                self.load
                    .concurrency
                    .min(usize::try_from(ramped).unwrap_or(usize::MAX))
            }
        }
    }

    /// When one more request may begin although none has ended.
    fn next_arrival(&self) -> Option<u64> {
        let allowed = self.allowed();
        let is_ramping = self.load.ramp_ms > 0 && allowed < self.load.concurrency;
        (is_ramping && !self.is_over()).then_some(allowed as u64 * self.load.ramp_ms * 1_000_000)
    }

    fn admit(&mut self) {
        while self.under_way.len() < self.allowed() && !self.is_over() {
            let session = match self.load.turns {
                1 => self.begin_session(),
                _ if self.ready.is_empty() => return,
                _ => {
                    let at = self.random.below(self.ready.len() as u64);
                    let at = usize::try_from(at).expect("few");
                    self.ready.remove(at).expect("in range")
                }
            };
            self.submit(session);
        }
    }

    fn begin_session(&mut self) -> Session {
        let prefix = u32::try_from(self.random.below(self.load.prefixes) % 400_000).expect("small");
        Session {
            said: (0..self.load.prefix_tokens)
                .map(|at| prefix * 5000 + at)
                .collect(),
            turns: self.load.turns,
        }
    }

    fn submit(&mut self, mut session: Session) {
        let (least, most) = self.load.own_tokens;
        let own = least + u32::try_from(self.random.below(u64::from(most - least))).expect("small");
        let base = 2_000_000_000 + self.next_id * 5000;
        session.said.extend(base..base + own);
        session.turns -= 1;
        let id = self.next_id;
        self.next_id += 1;
        let name = id.to_string();
        let prompt = Prompt::Tokens {
            ids: &session.said,
            lora_name: "",
            salt: "",
        };
        let request = PlaceRequest::new(&name, prompt, session.said.len() as u64);
        let placed = self.placement.select(&PlaceRequest {
            mode: self.mode,
            now_ms: self.now_ns / 1_000_000,
            record: false,
            ..request
        });
        let worker = usize::try_from(placed.expect("a worker").rank.worker_id).expect("few");
        let request = Request {
            id,
            prompt: session.said.clone(),
            max_tokens: Some(self.load.output_tokens),
            min_tokens: self.load.output_tokens,
            ignore_eos: true,
            stop_token_ids: Vec::new(),
            seed: None,
            lora_name: String::new(),
            cache_salt: String::new(),
            dp_rank: None,
        };
        self.served[worker] += 1;
        self.engines[worker].submit(request, self.now_ns, &mut self.batch);
        let under_way = UnderWay {
            worker,
            since_ns: self.now_ns,
            session,
            has_begun: false,
        };
        self.under_way.insert(id, under_way);
    }

    fn settle(&mut self, worker: usize) {
        loop {
            self.engines[worker].advance(self.now_ns, &mut self.batch);
            if self.batch.is_empty() {
                return;
            }
            let publisher = &self.publishers[worker];
            publisher
                .accept_mocker_records(&self.batch.event_bytes())
                .expect("own records");
            while let Some(events) = publisher.flush() {
                self.placement
                    .apply_events(&events, self.now_ns / 1_000_000);
            }
            self.take_answers();
            self.batch.clear();
        }
    }

    fn take_answers(&mut self) {
        let tokens = self.batch.token_ids();
        let mut start = 0;
        for entry in self.batch.entries() {
            let end = start + entry.tokens as usize;
            let id = entry.id.to_string();
            let request = self.under_way.get_mut(&entry.id).expect("under way");
            debug_assert!(request.worker < self.engines.len());
            request.session.said.extend(&tokens[start..end]);
            start = end;
            if !request.has_begun && entry.tokens > 0 {
                request.has_begun = true;
                self.ttft_ms
                    .push((self.now_ns - request.since_ns) as f64 / 1e6);
                self.placement.prefill_done(&id, 0);
            }
            if entry.finish.is_none() {
                continue;
            }
            let ended = self.under_way.remove(&entry.id).expect("under way");
            self.placement.free(&id, None);
            let said = ended.session.said.len() as u64;
            self.prompt_tokens += said - u64::from(self.load.output_tokens);
            self.cached_tokens += u64::from(entry.cached_tokens);
            if self.load.turns > 1 {
                self.ready.push_back(ended.session);
            }
        }
        for at in 0..self.ready.len() {
            if self.ready[at].turns == 0 {
                self.ready[at] = self.begin_session();
            }
        }
    }

    fn report(mut self) -> String {
        self.ttft_ms.sort_by(f64::total_cmp);
        let quantile = |percent: usize| self.ttft_ms[(self.ttft_ms.len() - 1) * percent / 100];
        let most = self.served.iter().max().copied().unwrap_or(0) as f64;
        let mean = self.served.iter().sum::<u64>() as f64 / self.served.len() as f64;
        format!(
            "cached {:5.1} %  TTFT p50 {:4.0} p90 {:4.0} p99 {:4.0} ms  busiest/mean {:.2}  {:6.1} s",
            100.0 * self.cached_tokens as f64 / self.prompt_tokens as f64,
            quantile(50),
            quantile(90),
            quantile(99),
            most / mean,
            self.now_ns as f64 / 1e9,
        )
    }
}
