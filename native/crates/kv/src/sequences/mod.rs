//! Active sequences (RP 4.1, 4.2): what each rank is working on, so that a placement can tell what one more request
//! would add to it.

mod active;
mod block_map;
mod live_paths;
mod loads;
mod path_node;
mod request;

pub use active::{ActiveSequences, AddError, SequenceOptions};
pub(crate) use block_map::BlockMap;
pub use loads::{PotentialLoads, WorkerLoad};
pub use request::NewRequest;
