//! A Router that no task moves: frames are handed in, and lie in outboxes until they are taken. For
//! tests, and for the project's own micro-benchmarks.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Waker},
};

use bytes::Buf;
use daffi_transport::{Batch, Listener, PeerInfo};
use daffi_wire::{Frame, NodeName};

use super::{Router, RouterHandler};
use crate::{
    config::NodeConfig,
    conn::{Budget, Conn, Handler, Turn},
    error::{Disconnected, InitializationError},
    server::next_opening_id,
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
        Ok(Self { router: Router::builder(name).config(config).listen(vec![listener])?, budget })
    }

    /// A connection without a handshake.
    pub fn connect(&self) -> BareMember {
        let conn = Conn::new(PeerInfo::new("mem", "bare"), &self.budget);
        let handler = RouterHandler::new(Arc::clone(self.router.shared()), Arc::clone(&conn), next_opening_id());
        BareMember { handler, conn, batch: Batch::new() }
    }
}

/// The Router's end of one connection, and what its driver would have.
pub struct BareMember {
    handler: RouterHandler,
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
        let handled = self.handler.handle(frame, &mut turn);
        self.handler.settle(&mut turn);
        handled
    }

    /// All that waits for this member is written: how many frames that were.
    pub fn take_all(&mut self) -> usize {
        self.conn.note_run(&Context::from_waker(Waker::noop()));
        self.conn.outbox.take(&mut self.batch);
        let (frames, bytes) = (self.batch.frames(), self.batch.remaining());
        self.batch.advance(bytes);
        self.conn.outbox.on_written(bytes);
        frames
    }

    /// The connection ended.
    pub fn leave(mut self) {
        self.conn.outbox.close();
        self.handler.on_end(&Disconnected::Stopped);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use daffi_transport::mem::MemListener;
    use daffi_wire::{
        CallId, Credit, FlowId, FormatId, Grant, Handshake, Header, Kind, Level, Limits, Member, MethodName, NodeType,
        Role, credit_cost,
    };

    use super::*;

    fn frame(header: Header, names: [&str; 3], payload: &[u8]) -> Frame {
        Frame::new(header, names[0], names[1], names[2], payload, &Limits::default()).unwrap()
    }

    fn credit(says: Credit, from: &str, to: &str) -> Frame {
        says.frame(from, to, &Limits::default()).unwrap()
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
    async fn a_new_flow_gives_no_new_window() {
        let listener = MemListener::bind(&"mem://bare-router-flows".parse().unwrap()).unwrap();
        let router = BareRouter::new(NodeName::new("router", &Limits::default()).unwrap(), Box::new(listener)).unwrap();
        let (mut worker, mut sender) = (joined(&router, "worker"), joined(&router, "sender"));
        let header = Header::new(Kind::Request, CallId(7), FormatId::OPAQUE, false, false);
        let request = || frame(header, ["sender", "worker", "f"], &[7; 10_000]);
        sender.handle(request()).unwrap();
        worker.take_all();
        assert_eq!(router.router.stats().dropped_requests, 1, "it belongs to no flow");
        for flow in [1, 2] {
            sender.handle(credit(Credit::Begins(FlowId(flow)), "sender", "worker")).unwrap();
            sender.handle(request()).unwrap();
        }
        assert_eq!((worker.take_all(), router.router.stats().held_requests), (2, 2));
        let grant = |flow| Credit::Grants(Grant::new(FlowId(flow), credit_cost(10_000), 8192).unwrap());
        for (flow, written) in [(2, 0), (1, 2), (1, 0), (2, 0)] {
            worker.handle(credit(grant(flow), "worker", "sender")).unwrap();
            assert_eq!(worker.take_all(), written, "the new flow begins when the old one is worked off");
        }
        assert_eq!(router.router.stats().held_requests, 0);
    }

    #[tokio::test]
    async fn a_member_that_left_is_remembered_without_what_was_held_for_it() {
        let listener = MemListener::bind(&"mem://bare-router-test".parse().unwrap()).unwrap();
        let router = BareRouter::new(NodeName::new("router", &Limits::default()).unwrap(), Box::new(listener)).unwrap();
        let (mut worker, mut sender) = (joined(&router, "worker"), joined(&router, "sender"));
        let header = |kind, wants| Header::new(kind, CallId(7), FormatId::OPAQUE, false, wants);
        sender.handle(credit(Credit::Begins(FlowId(1)), "sender", "worker")).unwrap();
        sender.handle(frame(header(Kind::Request, true), ["sender", "worker", "f"], b"")).unwrap();
        worker.handle(frame(header(Kind::Response, false), ["worker", "sender", "f"], b"")).unwrap();
        for _ in 0..100 {
            sender.handle(frame(header(Kind::Request, false), ["sender", "worker", "f"], &[7; 10_000])).unwrap();
        }
        assert!(router.budget.used_bytes() > 0, "requests beyond the worker's credit are held");
        sender.leave();
        worker.take_all();
        assert_eq!(router.budget.used_bytes(), 0);
        drop(worker);
    }

    #[tokio::test]
    async fn small_requests_that_are_held_keep_no_read_buffer_alive() {
        let listener = MemListener::bind(&"mem://bare-router-held".parse().unwrap()).unwrap();
        let router = BareRouter::new(NodeName::new("router", &Limits::default()).unwrap(), Box::new(listener)).unwrap();
        let (_worker, mut sender) = (joined(&router, "worker"), joined(&router, "sender"));
        sender.handle(credit(Credit::Begins(FlowId(1)), "sender", "worker")).unwrap();
        let header = Header::new(Kind::Request, CallId(7), FormatId::OPAQUE, false, false);
        let small = frame(header, ["sender", "worker", "f"], b"");
        let (size, read) = (small.as_bytes().len(), Bytes::from(small.as_bytes().repeat(1000)));
        for n in 0..1000 {
            let one = read.slice(n * size..(n + 1) * size);
            sender.handle(Frame::from_message(one, &Limits::default()).unwrap()).unwrap();
        }
        assert!(router.router.stats().held_requests > 900 && read.is_unique());
    }

    /// Thirty members call what is not there and take no refusal.
    #[tokio::test]
    async fn refusals_that_nobody_takes_are_bounded() {
        let listener = MemListener::bind(&"mem://bare-router-refused".parse().unwrap()).unwrap();
        let router = BareRouter::new(NodeName::new("router", &Limits::default()).unwrap(), Box::new(listener)).unwrap();
        let (mut worker, mut caller) = (joined(&router, "worker"), joined(&router, "caller"));
        let mut deaf: Vec<_> = (0..30).map(|n| joined(&router, &format!("deaf{n}"))).collect();
        let nobody = "n".repeat(9000);
        let call = |id: u16, from: &str, to: &str| {
            frame(Header::new(Kind::Request, CallId(id), FormatId::OPAQUE, false, true), [from, to, "f"], b"")
        };
        for (n, member) in deaf.iter_mut().enumerate() {
            let name = format!("deaf{n}");
            for id in 1..=600 {
                member.handle(call(id, &name, &nobody)).unwrap();
            }
        }
        let held = deaf.iter().map(|member| member.conn.outbox.account().held_bytes()).sum::<usize>();
        let limit = NodeConfig::server().budget_bytes;
        assert!(
            router.budget.used_bytes() <= limit && held <= limit,
            "{held} of {limit}, where all refusals are 324 MB"
        );
        worker.take_all();
        caller.take_all();
        caller.handle(call(7, "caller", "worker")).unwrap();
        // Of 31 newcomers it had not heard: two frames each, and the call.
        assert_eq!(worker.take_all(), 63, "others are served");
    }
}
