//! A Router that no task moves: frames are handed in, and lie in outboxes until they are taken. For the project's own
//! micro-benchmarks.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Waker},
};

use bytes::Buf;
use daffi_transport::{Batch, Listener, PeerInfo};
use daffi_wire::{Frame, NodeName};

use super::{Router, RouterRole};
use crate::{
    Disconnected, InitializationError, NodeConfig,
    conn::{Conn, Memory, Role, Turn},
    server::next_opening,
};

/// A Router whose runtime stands still.
#[derive(Debug)]
pub struct BareRouter {
    router: Router,
    config: NodeConfig,
    memory: Arc<Memory>,
}

impl BareRouter {
    /// Must be called within a tokio runtime, which is not to run.
    pub fn new(name: NodeName, listener: Box<dyn Listener>) -> Result<Self, InitializationError> {
        let config = NodeConfig::server();
        let memory = Memory::new(&config);
        Ok(Self { router: Router::start(name, config.clone(), vec![listener])?, config, memory })
    }

    /// A connection without a handshake.
    pub fn connect(&self) -> BareMember {
        let conn = Conn::new(PeerInfo::new("mem", "bare"), &self.config, Arc::clone(&self.memory));
        let role = RouterRole::new(Arc::clone(self.router.shared()), Arc::clone(&conn), next_opening());
        BareMember { role, conn, batch: Batch::new() }
    }
}

/// The Router's end of one connection, and what its driver would have.
pub struct BareMember {
    role: RouterRole,
    conn: Arc<Conn>,
    batch: Batch,
}

impl fmt::Debug for BareMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BareMember").field("conn", &self.conn).finish_non_exhaustive()
    }
}

impl BareMember {
    /// A frame of this member came.
    pub fn handle(&mut self, frame: Frame) -> Result<(), Disconnected> {
        let mut turn = Turn::begin(&self.conn, 0);
        let handled = self.role.handle(frame, &mut turn);
        self.role.settle(&mut turn);
        handled
    }

    /// All that waits for this member is written: how many frames that were.
    pub fn written(&mut self) -> usize {
        self.conn.runs(&Context::from_waker(Waker::noop()));
        self.conn.outbox.take(&mut self.batch);
        let (frames, bytes) = (self.batch.frames(), self.batch.remaining());
        self.batch.advance(bytes);
        self.conn.outbox.written(bytes);
        frames
    }

    /// The connection ended.
    pub fn leave(mut self) {
        self.conn.outbox.close();
        self.role.ended(&Disconnected::Stopped);
    }
}
