//! Block hashing for KV-cache routing. Pure: no I/O, no threads.
mod events;
mod hashing;
mod index;
mod selection;
mod sequences;

pub use events::{
    BlockFormat, BlockHasher, CacheEvent, CacheEventData, DecodeError, EngineEventStream,
    EventCounters, ExtraKeys, FramePlace, StreamOptions, WireBatch, WireEvent, WirePlace,
    WireStored, decode_batch, multimodal_hash, pad_value, tier_of_medium,
};
pub use hashing::{BlockSeed, local_block_hashes, next_sequence_hash, sequence_hashes};
pub use index::{
    ApplyStatus, ApproximateIndex, ApproximateOptions, CacheChange, CacheTier, ExactIndex,
    ExactOptions, IndexStats, KvIndex, Match, Matches, PredictiveIndex, RankStats, SnapshotError,
    StoredBlock, StoredRun, WorkerRank,
};
pub use selection::{
    CandidateCost, Candidates, CostSettings, Eligibility, InvalidSetting, Pin, Rejection,
    SeededRandom, SelectError, SelectRequest, Selection, SelectionMode, SelectionPolicy,
    SelectionReason, select,
};
pub use sequences::{
    ActiveSequences, AddError, NewRequest, PotentialLoads, SequenceOptions, WorkerLoad,
};
