//! KV-aware routing: block hashes, who holds which blocks, engine events, and where a request goes. Pure: no I/O, no threads.
mod events;
mod feed;
mod hashing;
mod index;
mod placement;
mod publisher;
mod selection;
mod sequences;
mod wire;

pub use events::{
    BlockFormat, BlockHasher, CacheEvent, CacheEventData, DecodeError, EngineEventStream,
    EventCounters, ExtraKeys, FramePlace, StoresAndRemovals, StreamOptions, WireBatch, WireEvent,
    WirePlace, WireStored, decode_batch, multimodal_hash, pad_value, tier_of_medium,
};
pub use feed::{
    EventFeed, FeedCounters, FeedResult, FeedState, ParsedRecovery, RankFeed, RecoveryProgress,
    RecoveryWanted, Refusal,
};
pub use hashing::{BlockSeed, local_block_hashes, next_sequence_hash, sequence_hashes};
pub use index::{
    ApplyStatus, ApproximateIndex, ApproximateOptions, CacheChange, CacheTier, ExactIndex,
    ExactOptions, IndexStats, KvIndex, Match, Matches, PredictiveIndex, RankReading, RankStats,
    SnapshotError, StagedRank, StagingRoom, StoredBlock, StoredRun, WorkerRank,
};
pub use placement::{
    BusyAbove, Conditions, DecisionContext, DrainedDecisions, FleetLoads, FleetOverlap, Freed,
    IndexHealth, InvalidPlacement, MAX_RANKS_PER_WORKER, Occupancy, OutcomeKind, Overrides,
    PlaceRequest, Placed, Placement, PlacementSettings, Prompt, RankDump, RankHealth,
    RecordedDecision, RemoteBooking, RequestOutcome, RescoreError, Rescored, SettingsPatch,
    StepTimes, WorkerFacts, encode_line, encode_message, rescore,
};
pub use publisher::{
    InvalidOption, KvPublisher, MockerRecordsError, PublisherOptions, PublisherStats,
};
pub use selection::{
    ACTIVE_REQUEST_TOKENS, CandidateCost, Candidates, CostSettings, DISPLACEMENT_WEIGHT,
    Eligibility, InvalidSetting, Pin, Rejection, SeededRandom, SelectError, SelectRequest,
    Selection, SelectionMode, SelectionPolicy, SelectionReason, select,
};
pub use sequences::{
    ActiveSequences, AddError, NewRequest, PotentialLoads, SequenceOptions, WorkerLoad,
};
pub use wire::{
    KvBlocksRemoved, KvBlocksStored, KvCacheCleared, KvEvent, KvEventBatch, KvEventData,
    KvQueryInvalidRange, KvQueryResult, KvQueryTooNew, KvSnapshotChunk, WorkerKvQueryRequest,
    WorkerKvQueryResponse, hashes_from_bytes, hashes_to_bytes,
};
