//! Nodes of daffi on a network that fails on purpose, in simulated time.
//!
//! Real Services, Routers and Clients run on [turmoil](https://docs.rs/turmoil) through the
//! transport seam. Callers make calls of all styles while [faults](fault::Fault) of some
//! [`Weather`] come and go; then all is well again, and this must hold:
//!
//! - every call ended, once, and within its timeout; an answer is the call's own, whole;
//! - a callback ran at most once per call, once when the call was answered, never when the error
//!   says that it did not; chunks of a stream ran in order;
//! - everybody reaches everybody again, and all see the same members;
//! - no task is left behind, and a Router holds no open call and no request that nobody waits for;
//! - nothing panicked, and nobody was evicted whose name nobody else bore;
//! - nothing is counted any more that a Router held for its members.
//!
//! Beside *adversaries*, who speak the wire by hand and do all that no node does, and beside honest
//! nodes that stand still for a moment, also this: no honest node loses its connection, and no call
//! of theirs without a timeout fails for another reason than that it was refused before it ran.
//!
//! ```console
//! $ cargo run --release -p daffi-simulation -- --seeds 500            # every topology and weather
//! $ cargo run --release -p daffi-simulation -- --topology router --weather twin --seed 43   # one run, step by step
//! $ cargo run --release -p daffi-simulation -- --weather every-byte --seeds 3200   # a connection breaks after each byte
//! ```
//!
//! ```
//! use daffi_simulation::{Simulation, Topology, Weather};
//!
//! let report = Simulation { topology: Topology::Service, weather: Weather::Loss, seed: 1 }.run();
//! assert!(report.violations.is_empty(), "{:#?}", report.violations);
//! assert!(report.answered > 0);
//! ```
//!
//! # What a seed repeats
//!
//! Of a seed come the nodes, the calls, the faults and their times, the latency of each message,
//! how writes are cut, and the jitter of reconnecting. Time is simulated, that of the nodes
//! included. Not seeded are the order of a `HashMap` and, unless tokio is built with
//! `RUSTFLAGS="--cfg tokio_unstable"`, which of several ready branches a `select!` takes: a failure
//! mostly comes again at once, else within a few runs. `--twice` counts how many runs came out
//! differently a second time.
//!
//! Plain functions are not simulated: they run on threads of their own. All callbacks here are
//! async.
//!
//! # How the network fails
//!
//! turmoil delays, reorders between connections, holds and drops messages. Beside it every
//! connection can be broken at either end, after a number of bytes, or be frozen ([`network`]); a
//! host that lost its peer without a word notices a second or so later, where a real keepalive
//! takes longer.

mod adversary;
mod callbacks;
pub mod fault;
mod host;
pub mod ledger;
pub mod network;
mod run;
mod times;
mod transport;
mod workload;

pub use crate::{
    fault::Weather,
    run::{Report, Simulation, Topology},
};
