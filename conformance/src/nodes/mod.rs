//! The nodes of this project as nodes to test, over links in memory and over TCP.
//!
//! To test a node or a transport of your own, write what stands in [`server`] or [`client`] for it:
//! a few lines around [`Node`](crate::Node).

mod callbacks;
pub mod client;
mod pipe;
pub mod server;

pub use self::{
    callbacks::callbacks,
    pipe::{PipeConnector, PipeListener, pipe},
};

use crate::{NodeKind, NodeSpec, Started};

/// How the replay reaches a node of this project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A pipe in this process.
    Memory,
    /// TCP on the loopback interface.
    Tcp,
}

/// Starts a node of this project after its description.
#[must_use]
pub fn start(spec: &NodeSpec, over: Over) -> Started {
    match spec.kind {
        NodeKind::Service => server::service(spec, over),
        NodeKind::Router => server::router(spec, over),
        NodeKind::Client => client::client(spec, over),
    }
}
