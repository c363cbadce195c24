//! Nodes of daffi on a network that fails on purpose, in simulated time.
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
