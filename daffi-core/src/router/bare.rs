//! A Router that no task moves: frames are handed in, and lie in outboxes until they are taken. For tests, and for
//! the project's own micro-benchmarks.

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
    config::NodeConfig,
    conn::{Budget, Conn, Role, Turn},
    error::{Disconnected, InitializationError},
    server::next_opening,
};

/// A Router whose runtime stands still.
#[derive(Debug)]
pub struct BareRouter {
    router: Router,
    budget: Arc<Budget>,
}

impl BareRouter {
    /// Must be called within a tokio runtime, which is not to run.
    pub fn new(name: NodeName, listener: Box<dyn Listener>) -> Result<Self, InitializationError> {
        let config = NodeConfig::server();
        let budget = Budget::of(&config);
        Ok(Self { router: Router::start(name, config, vec![listener])?, budget })
    }

    /// A connection without a handshake.
    pub fn connect(&self) -> BareMember {
        let conn = Conn::new(PeerInfo::new("mem", "bare"), &self.budget);
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

#[cfg(test)]
mod tests {
    use daffi_transport::mem::MemListener;
    use daffi_wire::{CallId, FormatId, Handshake, Header, Kind, Level, Limits, Member, MethodName, NodeType, Role};

    use super::*;

    fn frame(header: Header, names: [&str; 3], payload: &[u8]) -> Frame {
        Frame::new(header, names[0], names[1], names[2], payload, &Limits::default()).unwrap()
    }

    fn joined(router: &BareRouter, name: &str) -> BareMember {
        let limits = Limits::default();
        let member = Member::new(NodeName::new(name, &limits).unwrap(), vec![MethodName::new("f", &limits).unwrap()]);
        let body = Handshake::new(NodeType::new(Role::Client, Level::FOUR), vec![member]).to_json();
        let mut joined = router.connect();
        joined.handle(frame(Header::control(Kind::Handshake, CallId(1), true), [name, "", ""], &body)).unwrap();
        joined
    }

    #[tokio::test]
    async fn a_member_that_left_is_remembered_without_what_was_held_for_it() {
        let listener = MemListener::bind(&"mem://bare-router-test".parse().unwrap()).unwrap();
        let router = BareRouter::new(NodeName::new("router", &Limits::default()).unwrap(), Box::new(listener)).unwrap();
        let (mut worker, mut sender) = (joined(&router, "worker"), joined(&router, "sender"));
        let header = |kind, wants| Header::new(kind, CallId(7), FormatId::OPAQUE, false, wants);
        sender.handle(frame(header(Kind::Request, true), ["sender", "worker", "f"], b"")).unwrap();
        worker.handle(frame(header(Kind::Response, false), ["worker", "sender", "f"], b"")).unwrap();
        for _ in 0..100 {
            sender.handle(frame(header(Kind::Request, false), ["sender", "worker", "f"], &[7; 10_000])).unwrap();
        }
        assert!(router.budget.used() > 0, "requests beyond the worker's credit are held");
        sender.leave();
        worker.written();
        assert_eq!(router.budget.used(), 0);
        drop(worker);
    }
}
