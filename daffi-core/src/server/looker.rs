//! Connections that only look: they are told who is there, and nobody is told of them.

use std::{sync::Arc, time::Instant};

use daffi_serde::RemoteError;
use daffi_wire::{Frame, Handshake, Kind, Level, NodeName, NodeType, Shown};

use super::{Host, OpeningId, Rights, token};
use crate::{
    conn::{Alive, Class, Conn, Handler, Turn},
    error::{Disconnected, ProtocolError},
    session::{Hello, handshake_reply, no_room_for_list},
};

/// A handshake that lists no callbacks is shorter than this, whatever the name: a longer one is
/// refused without being read, as nobody has to come to read a long list for its sake.
const LONGEST_WITHOUT_CALLBACKS: usize = 64 * 1024;

/// A server's end of one connection: that of the node's own kind, unless the first handshake says
/// that its client only looks ([level 4](daffi_wire::level_four)).
pub(crate) struct Door<H: Host> {
    host: Arc<H>,
    conn: Arc<Conn>,
    opening: OpeningId,
    handler: H::Handler,
    looker: Option<Looker>,
    /// The name of a client whose token follows.
    awaited: Option<NodeName>,
}

/// A client that only looks, after its handshake.
struct Looker {
    name: NodeName,
    alive: Alive,
}

impl<H: Host> Door<H> {
    pub(super) fn new(host: &Arc<H>, conn: Arc<Conn>, opening: OpeningId) -> Self {
        let handler = Arc::clone(host).handler(Arc::clone(&conn), opening);
        Self { host: Arc::clone(host), conn, opening, handler, looker: None, awaited: None }
    }

    /// Answers the first handshake of a client that only looks with the list, and a later one,
    /// which changes nothing, with none: a list costs much. `false`: it is one of level 3, where
    /// the section has no meaning.
    fn look(&mut self, frame: &Frame) -> bool {
        let server = self.host.server();
        let known = self.looker.as_ref().map(|looker| &looker.name);
        let Some(Hello { name, body, level }) = server.hello(H::KIND, &self.conn, known, frame) else { return true };
        if !level.at_least(Level::FOUR) {
            return false;
        }
        if body.members.iter().any(|member| !member.methods.is_empty()) {
            let reason = "a connection that only looks (look:only) exposes no callbacks";
            server.refuse_handshake(H::KIND, &self.conn, frame, reason);
            return true;
        }
        let mut rights = Rights::new(Arc::clone(&self.conn));
        let is_known = self.looker.is_some();
        if let Err(reason) = server.guard.check_looker(&mut rights, &name, is_known) {
            server.refuse_handshake(H::KIND, &self.conn, frame, &reason);
            return true;
        }
        let list = match self.looker {
            Some(_) => Handshake::new(NodeType::new(H::KIND, level), Vec::new()).to_json(),
            None => self.host.list(level),
        };
        if self.looker.is_none() && !self.conn.outbox.admits(Class::Answer, list.len()) {
            server.refuse_handshake(H::KIND, &self.conn, frame, &no_room_for_list(list.len()));
            return true;
        }
        if self.looker.is_none() {
            self.conn.set_level(level);
            let mut alive = Alive::default();
            alive.begin(&self.conn);
            server.finish_opening(self.opening);
            server.lookers.lock().insert(self.conn.id, Arc::clone(&self.conn));
            if !rights.is_current(&server.guard) {
                // Whoever set another policy may have looked through them just before.
                server.guard.expel_looker(&self.conn);
            }
            if server.life.is_closing() {
                // `close` may have looked through them just before.
                self.conn.drain();
            }
            tracing::debug!(conn = self.conn.id, client = %Shown::name(&name), peer = %self.conn.peer, "a client looks who is there");
            self.looker = Some(Looker { name: name.clone(), alive });
        }
        let answer = handshake_reply(frame, &list, &server.config.limits);
        server.send(&self.conn, Class::Provoked, &name, answer);
        true
    }

    /// Whether a handshake is one that lists no callbacks, if it keeps to the rules.
    fn is_to_list_nothing(&self, frame: &Frame) -> bool {
        let is_looking = asks_to_look(frame) || self.looker.is_some() && frame.kind() == Kind::Handshake;
        is_looking || self.awaited.is_none() && token::follows(frame)
    }

    /// Handles a frame that came before the handshake of the node's own kind, or in its place.
    #[cold]
    fn handle_early(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected> {
        let server = self.host.server();
        if self.is_to_list_nothing(&frame) && frame.payload().len() > LONGEST_WITHOUT_CALLBACKS {
            let reason = format!(
                "a handshake with {} or {} lists no callbacks, and has {LONGEST_WITHOUT_CALLBACKS} bytes at most; this \
                 one has {}",
                Handshake::LOOK_ONLY,
                Handshake::TOKEN_FOLLOWS,
                frame.payload().len()
            );
            server.refuse_handshake(H::KIND, &self.conn, &frame, &reason);
            return Ok(());
        }
        if self.looker.is_some() {
            return self.handle_looking(&frame);
        }
        if let Some(name) = &self.awaited {
            if frame.kind() != Kind::Handshake {
                return Err(ProtocolError::BeforeHandshake(frame.kind()).into());
            }
            if !server.take_token(H::KIND, &self.conn, name, &frame) {
                return Ok(());
            }
            self.awaited = None;
        } else if token::follows(&frame) && server.await_token(H::KIND, &self.conn, &frame, &mut self.awaited) {
            return Ok(());
        }
        if asks_to_look(&frame) && self.look(&frame) {
            return Ok(());
        }
        self.handler.handle(frame, turn)
    }

    fn handle_looking(&mut self, frame: &Frame) -> Result<(), Disconnected> {
        match frame.kind() {
            Kind::Handshake => {
                self.look(frame);
            }
            Kind::Ping => return self.conn.answer_ping(frame),
            Kind::Request if self.host.answer_own(&self.conn, frame) => {}
            Kind::Request => self.refuse_at_look(frame),
            // Which links carry them the driver knows; nothing of them is used here.
            Kind::Credit | Kind::Cancel | Kind::Data | Kind::Watch | Kind::Unknown(_) => {
                tracing::debug!(kind = %frame.kind(), "skipped a frame");
            }
            kind => return Err(ProtocolError::Direction(kind).into()),
        }
        Ok(())
    }

    /// Answers a call with an error: nobody could send its reply here.
    fn refuse_at_look(&self, frame: &Frame) {
        if frame.header().wants_reply() {
            let error = RemoteError::new("PermissionError", "this connection only looks (look:only): it cannot call");
            let (id, receiver, method) = (frame.header().id(), frame.receiver(), frame.method());
            self.host.server().send_error(&self.conn, frame.transmitter(), id, receiver, method, &error);
        } else {
            tracing::debug!(method = %Shown::name(frame.method()), "dropped a nowait request of a client that only looks");
        }
    }
}

/// Whether a client asks to be let in to look.
fn asks_to_look(frame: &Frame) -> bool {
    frame.kind() == Kind::Handshake && frame.method() == Handshake::LOOK_ONLY
}

impl<H: Host> Handler for Door<H> {
    const SERVES: bool = H::Handler::SERVES;

    #[inline]
    fn handle(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected> {
        if self.handler.is_open() { self.handler.handle(frame, turn) } else { self.handle_early(frame, turn) }
    }

    fn settle(&mut self, turn: &mut Turn) {
        self.handler.settle(turn);
    }

    fn on_room(&mut self, turn: &mut Turn) {
        self.handler.on_room(turn);
    }

    fn next_time(&self) -> Option<Instant> {
        match &self.looker {
            Some(looker) => looker.alive.next(),
            None => self.handler.next_time(),
        }
    }

    fn on_time(&mut self, now: Instant, turn: &mut Turn) -> Result<(), Disconnected> {
        match &mut self.looker {
            Some(looker) => looker.alive.on_time(&self.conn, now).map(drop),
            None => self.handler.on_time(now, turn),
        }
    }

    fn is_open(&self) -> bool {
        self.looker.is_some() || self.handler.is_open()
    }

    fn farewell(&self) -> Option<Frame> {
        // Of one that looks nothing is open.
        self.handler.farewell().filter(|_| self.looker.is_none())
    }

    fn may_stop_reading(&self) -> bool {
        self.looker.is_some() || self.handler.may_stop_reading()
    }

    fn unbounded_bytes(&self) -> usize {
        self.handler.unbounded_bytes()
    }

    fn is_quiet(&self) -> bool {
        self.handler.is_quiet()
    }

    fn note_stopped(&mut self, unsent: usize) -> bool {
        self.host.server().note_unsent(unsent)
    }

    fn on_end(&mut self, reason: &Disconnected) {
        match &self.looker {
            Some(Looker { name, .. }) => {
                let server = self.host.server();
                server.lookers.lock().remove(&self.conn.id);
                server.log_end(&self.conn, name, reason);
            }
            None => self.handler.on_end(reason),
        }
    }
}
