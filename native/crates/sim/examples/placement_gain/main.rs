//! What placement gains on simulated fleets: cached share, time to first token and balance by displacement weight, on
//! loads with shared prefixes, with conversations, without anything shared, and with one prompt that all requests share.
//! `cargo run --release -p dynamo-sim --example placement_gain`
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::expect_used)]

mod loads;
mod policies;
mod run;

use loads::LOADS;
use policies::POLICIES;
use run::Run;

const BLOCK: u32 = 64;
const BLOCKS: u32 = 512;

fn main() {
    for load in &LOADS {
        println!("{}", load.name);
        for policy in &POLICIES {
            println!("  {:30} {}", policy.name, Run::new(load, policy).finish());
        }
    }
}
