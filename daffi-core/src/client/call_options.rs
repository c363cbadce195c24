//! How calls of a client are made.

use std::{sync::Arc, time::Duration};

use daffi_wire::{FormatId, StreamFlags};

use crate::trace::TraceContext;

/// How a call is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// The member to call. Default: one is chosen among those that expose the callback.
    pub receiver: Option<String>,
    /// What keeps related calls together, for a picker such as [`StickyByKey`](crate::StickyByKey).
    pub key: Option<String>,
    /// The Router chooses the receiver, if none is given and the Router can: see
    /// [`ByRouter`](crate::ByRouter).
    pub by_router: bool,
    /// The format of arguments and result. Default: MSGPACK for a receiver of this project,
    /// PICKLE for one of daffi 3.0.1, OPAQUE for streams.
    pub serde: Option<FormatId>,
    /// From the call to its answer. Default: the client's `default_timeout`, else none.
    pub timeout: Option<Duration>,
    /// Whether the call waits for a connection, within the timeout, when there is none.
    pub wait_for_connection: bool,
    /// While no member exposes the callback, wait for one instead of failing at once; and for a
    /// connection. A call with a timeout and neither a receiver nor a key waits at the Router, if
    /// that is one of this project, which then chooses who gets it. A cast to members by name waits
    /// for each of them.
    pub wait_for_receiver: bool,
    /// Keys and values that travel with the call, such as a token or a tenant: the callback reads
    /// them by [`Context::header`](crate::Context::header). At most 4 KiB together, and 255 bytes a
    /// key. A receiver of daffi 3.0.1 gets none.
    pub headers: Vec<(String, String)>,
    /// Whether a large result of bytes is read in pieces, where results are taken one by one.
    pub in_pieces: bool,
    /// What comes or goes one by one.
    pub(crate) stream: StreamFlags,
    /// The trace that the call belongs to, as its client found out when it was made.
    pub(crate) trace: Option<Arc<TraceContext>>,
}

impl CallOptions {
    /// Whether the call can wait at a Router for its receiver: it says for how long, and leaves the
    /// choice to the Router.
    pub(crate) const fn waits_at_router(&self) -> bool {
        let says_time = self.timeout.is_some() && !self.stream.items_follow;
        self.wait_for_receiver && says_time && self.receiver.is_none() && self.key.is_none()
    }
}
