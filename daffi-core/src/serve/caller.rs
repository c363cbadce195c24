//! Who calls: what all calls of one caller on one connection share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use daffi_serde::{Opaque, Single};
use daffi_transport::PeerInfo;
use daffi_wire::NodeName;
use tokio_util::sync::CancellationToken;

use super::node::Node;
use crate::{
    config::NodeConfig,
    conn::{Conn, DataFrom},
};

/// One caller on one connection. Its calls share this, so that none of them makes its own.
pub(crate) struct Caller {
    pub(crate) id: CallerId,
    pub(crate) name: NodeName,
    pub(crate) conn: Arc<Conn>,
    pub(crate) node: Arc<Node>,
    /// Cancelled when the caller is gone, or the connection.
    pub(crate) gone: CancellationToken,
    /// Its requests that were received and have not finished, but for those that did where they
    /// were read. Relaxed, as `known`: both decide only which place its next request gets.
    pub(super) waiting: AtomicUsize,
    /// Its open calls of which a part comes or goes in DATA.
    pub(super) streams: Arc<AtomicUsize>,
    /// One of its requests has finished.
    pub(super) known: AtomicBool,
    /// A part of one of its calls may have gone in DATA. Relaxed: what is queued is found behind a
    /// lock.
    sends_data: AtomicBool,
}

/// A request that has not finished, counted for its caller.
pub(crate) struct Counted(pub(super) Arc<Caller>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
        self.0.known.store(true, Relaxed);
    }
}

/// What tells callers apart in tables, where a name would be hashed and compared for each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallerId(pub(crate) u64);

impl CallerId {
    /// One that this process has not given to another caller.
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }

    /// From where the DATA of all calls of this caller goes.
    pub(crate) const fn data_from(self) -> DataFrom {
        DataFrom::Served(self.0)
    }
}

impl Caller {
    /// `gone`: cancelled when the caller is gone, or the connection.
    pub(crate) fn new(name: NodeName, conn: Arc<Conn>, node: Arc<Node>, gone: CancellationToken) -> Arc<Self> {
        let (waiting, streams, known) = (AtomicUsize::new(0), Arc::default(), AtomicBool::new(false));
        let sends_data = AtomicBool::new(false);
        Arc::new(Self { id: CallerId::next(), name, conn, node, gone, waiting, streams, known, sends_data })
    }

    /// A part of a call of it comes or goes in DATA.
    pub(crate) fn note_data(&self) {
        self.sends_data.store(true, Relaxed);
    }

    /// Whether requests of it have not finished: those that wait or run, and those of which results
    /// go one by one.
    pub(super) fn has_unfinished(&self) -> bool {
        self.waiting.load(Relaxed) > 0 || self.streams.load(Relaxed) > 0
    }

    /// Whether DATA of its calls waits to be written.
    pub(super) fn has_data(&self) -> bool {
        self.sends_data.load(Relaxed) && self.conn.outbox.has_data_from(self.id.data_from())
    }

    /// One that came over no connection and never leaves.
    pub(crate) fn detached(name: NodeName, node: NodeName) -> Arc<Self> {
        let node = Node::new(node, NodeConfig::server(), Single::new(Opaque::default()));
        let conn = Conn::new(PeerInfo::new("detached", name.as_str()), &node.budget);
        let gone = conn.ended.clone();
        Self::new(name, conn, node, gone)
    }
}
