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
        Self::with(name, listener, NodeConfig::server())
    }

    /// Bytes that it holds of its budget, calls that are open, and requests that wait.
    #[cfg(test)]
    pub(super) fn holds(&self) -> (usize, usize, usize) {
        let stats = self.router.stats();
        (self.budget.used_bytes(), stats.open_calls, stats.held_requests)
    }

    /// One at this address.
    #[cfg(test)]
    pub(super) fn at(address: &str) -> Self {
        Self::with_config(address, NodeConfig::server())
    }

    #[cfg(test)]
    pub(super) fn with_config(address: &str, config: NodeConfig) -> Self {
        let listener =
            daffi_transport::mem::MemListener::bind(&address.parse().expect("an address")).expect("it is free");
        let name = NodeName::new("router", &daffi_wire::Limits::default()).expect("a name");
        Self::with(name, Box::new(listener), config).expect("it starts")
    }

    /// A member of level 4 that exposes `f`.
    #[cfg(test)]
    pub(super) fn join(&self, name: &str) -> BareMember {
        self.join_of(name, daffi_wire::Level::FOUR)
    }

    #[cfg(test)]
    pub(super) fn join_of(&self, name: &str, level: daffi_wire::Level) -> BareMember {
        use daffi_wire::{CallId, Header, Kind, Level, Limits};
        let kind = if level.at_least(Level::FOUR) { "client/4" } else { "client" };
        let body =
            format!(r#"{{"meta":{{"type":"{kind}","error":null}},"members":[{{"name":"{name}","methods":["f"]}}]}}"#);
        let header = Header::control(Kind::Handshake, CallId(1), true);
        let hello = Frame::new(header, name, "", "", body.as_bytes(), &Limits::default()).expect("a frame");
        let mut joined = self.connect();
        joined.handle(hello).expect("it joins");
        joined
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Arc<super::RouterShared> {
        self.router.shared()
    }

    fn with(name: NodeName, listener: Box<dyn Listener>, config: NodeConfig) -> Result<Self, InitializationError> {
        let router = Router::builder(name).config(config).listen(vec![listener])?;
        let budget = Arc::clone(&router.shared().server.budget);
        Ok(Self { router, budget })
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
        self.conn.outbox.on_written(bytes, &mut self.batch);
        self.note_room();
        frames
    }

    /// Does what waited until this member takes what waits for it.
    pub(super) fn note_room(&mut self) {
        if self.conn.take_room() {
            self.handler.on_room(&mut Turn::begin(&self.conn, 0));
        }
    }

    /// Takes all that waits for this member, frame by frame, and does nothing for which that makes
    /// room.
    #[cfg(test)]
    pub(super) fn take_frames(&mut self) -> Vec<Frame> {
        self.take_some(usize::MAX)
    }

    /// Takes at most so many frames of what waits for this member in the same way. What is behind
    /// them goes on waiting to be written.
    #[cfg(test)]
    pub(super) fn take_some(&mut self, most: usize) -> Vec<Frame> {
        self.conn.note_run(&Context::from_waker(Waker::noop()));
        if !self.batch.has_remaining() {
            self.conn.outbox.take(&mut self.batch);
        }
        let before = self.batch.remaining();
        let frames = std::iter::from_fn(|| self.batch.next_frame()).take(most);
        let frames = frames.map(|frame| Frame::from_message(frame, &daffi_wire::Limits::default()));
        let frames = frames.collect::<Result<_, _>>().expect("a Router sends whole frames");
        self.conn.outbox.on_written(before - self.batch.remaining(), &mut self.batch);
        frames
    }

    /// The member as the others see it.
    #[cfg(test)]
    pub(super) fn peer(&self) -> Arc<super::Peer> {
        self.handler.peer().expect("it has joined")
    }

    /// The connection ended.
    pub fn leave(mut self) {
        self.conn.outbox.close();
        self.handler.on_end(&Disconnected::Stopped);
        self.conn.end_accounts();
    }
}

#[cfg(test)]
#[path = "bare_tests.rs"]
mod tests;
