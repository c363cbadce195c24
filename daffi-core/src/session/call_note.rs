//! What is noted of an open call.

use std::time::Instant;

use daffi_wire::{CallId, NodeName};

/// What is noted of a call by whoever counts calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallNote {
    /// Which callback it is of.
    pub(crate) callback: u16,
    /// When it began, by the clock of whoever counts.
    pub(crate) begun: u64,
}

/// A call that nobody answered for some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    /// The caller's number.
    pub(crate) id: CallId,
    pub(crate) receiver: NodeName,
    pub(crate) since: Instant,
}
