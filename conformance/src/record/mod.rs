//! Records sessions: runs a scenario of `scenarios/` and stands between the nodes that it starts.
//!
//! What 3.0.1 does in a given order is recorded in that order, whatever the threads of its nodes
//! do: one item is handed to the server at a time, and all that the server sends because of it is
//! taken before the next; only then do the clients get to see it. So recording again gives the same
//! file.

mod differences;
#[cfg(feature = "nodes")]
mod level_four;
mod proxy;
mod scene;

#[cfg(feature = "nodes")]
pub use self::level_four::record_again;
pub use self::scene::{RecordError, record, scenarios};
