//! A client whose connections no task moves: frames are handed in, and lie in outboxes until they
//! are taken. For tests.

use std::{
    sync::Arc,
    task::{Context, Waker},
};

use bytes::Buf;
use daffi_serde::{Opaque, Single};
use daffi_transport::{Batch, PeerInfo, mem::MemConnector};
use daffi_wire::{
    CallId, EventBody, EventKind, Frame, Handshake, Header, Kind, Level, Limits, Member, MethodName, NodeName,
    NodeType, Role,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    Client, ClientConn, ClientState,
    connection::ClientHandler,
    establish::{Ends, handler},
};
use crate::{
    config::NodeConfig,
    conn::{Class, Conn, Handler, Turn},
    error::{Disconnected, Ended},
    session::{ClientSession, InFlight},
};

/// The name of the client.
pub(crate) const CALLER: &str = "caller";

/// What fills an outbox asks for this.
const FILLER: &str = "filler";

/// A client of OPAQUE payloads that nobody connects.
pub(crate) struct BareClient {
    pub(crate) client: Client<Single<Opaque>>,
    ends: Ends,
    _ended: mpsc::UnboundedReceiver<(u64, Disconnected)>,
}

impl BareClient {
    /// Must be called within a tokio runtime.
    pub(crate) fn new(config: NodeConfig) -> Self {
        let connector = MemConnector::new("mem://nobody-listens-here".parse().expect("an address"));
        let builder = Client::builder(node(CALLER), Box::new(connector), Single::new(Opaque::default()));
        let client = builder.config(config).build_one().expect("a client");
        let (ends, _ended) = mpsc::unbounded_channel();
        Self { client, ends, _ended }
    }

    /// A connection to a server, whose handshake lists these members: each exposes `f`.
    pub(crate) fn connect(&self, role: Role, level: Level, members: &[&str]) -> BareConn {
        let shared = self.client.shared();
        let before = shared.connection_now();
        let in_flight = before.map(|conn| InFlight::follow(&conn.session.lock().in_flight)).unwrap_or_default();
        let mut session = ClientSession::new(node(CALLER), Limits::default(), in_flight);
        let hello = session.first_hello(Vec::new()).expect("a handshake");
        let conn = Conn::new(PeerInfo::new("mem", "bare"), &shared.node.budget);
        let conn = ClientConn::new(shared, conn, session);
        let (opened, _) = oneshot::channel();
        let mut handler = handler(shared, &conn, opened, &self.ends);
        // Whoever asked for the connection waits for no word of it here.
        handler.opened = None;
        let mut conn = BareConn { handler, conn, batch: Batch::new(), role, level };
        conn.handle(conn.says(hello.header(), CALLER, members));
        conn
    }

    /// The node has ended.
    pub(crate) fn end(&self, how: Ended) {
        self.client.shared().set_state(ClientState::Ended(how));
    }
}

/// The client's end of one connection, and what its driver would have.
pub(crate) struct BareConn {
    handler: ClientHandler,
    pub(crate) conn: Arc<ClientConn>,
    batch: Batch,
    role: Role,
    level: Level,
}

impl BareConn {
    /// A frame of the server came.
    pub(crate) fn try_handle(&mut self, frame: Frame) -> Result<(), Disconnected> {
        let mut turn = Turn::begin(&self.conn.conn, 0);
        let handled = self.handler.handle(frame, &mut turn);
        self.handler.settle(&mut turn);
        handled
    }

    /// The same of one that breaks no rule.
    pub(crate) fn handle(&mut self, frame: Frame) {
        self.try_handle(frame).expect("it breaks no rule");
    }

    /// A handshake that lists these members.
    fn says(&self, header: Header, from: &str, members: &[&str]) -> Frame {
        let f = MethodName::new("f", &Limits::default()).expect("a name");
        let listed = |name: &&str| Member::new(node(name), vec![f.clone()]).with_level(self.level);
        let members = members.iter().map(listed).collect();
        let body = Handshake::new(NodeType::new(self.role, self.level), members).to_json();
        Frame::new(header, from, "", "", &body, &Limits::default()).expect("a handshake")
    }

    /// A member joins, or changes what it exposes, which is `f`.
    pub(crate) fn join(&mut self, member: &str) {
        let notice = self.says(Header::control(Kind::Handshake, CallId::NONE, false), "", &[member]);
        self.handle(notice);
    }

    /// A member leaves.
    pub(crate) fn leave(&mut self, member: &str) {
        let event = EventBody { kind: EventKind::Disconnected, member: member.to_owned() };
        let header = Header::control(Kind::Events, CallId::NONE, false);
        self.handle(Frame::new(header, "", "", "", &event.to_json(), &Limits::default()).expect("an event"));
    }

    /// The server takes what waits now: gives it, frame by frame. What comes after that waits.
    pub(crate) fn take(&mut self) -> Vec<Frame> {
        let conn = &self.conn.conn;
        conn.note_run(&Context::from_waker(Waker::noop()));
        conn.outbox.take(&mut self.batch);
        let bytes = self.batch.remaining();
        let frames = std::iter::from_fn(|| self.batch.next_frame());
        let frames = frames.map(|frame| Frame::from_message(frame, &Limits::default()).expect("whole frames"));
        let frames = frames.filter(|frame| frame.method() != FILLER).collect();
        conn.outbox.on_written(bytes, &mut self.batch);
        if conn.take_room() {
            self.handler.on_room(&mut Turn::begin(conn, 0));
        }
        frames
    }

    /// So much waits to be taken that whoever can wait has to.
    pub(crate) fn fill(&self) {
        let header = Header::control(Kind::Request, CallId::NONE, false);
        let frame = Frame::new(header, CALLER, "", FILLER, &[7; 64 * 1024], &Limits::default()).expect("a frame");
        while !self.conn.conn.outbox.is_full() {
            self.conn.conn.send(Class::Nowait, &frame).expect("it is open");
        }
    }

    /// Takes all call numbers.
    pub(crate) fn use_up_numbers(&self) -> Vec<CallId> {
        let (nobody, mut session) = (node("nobody"), self.conn.session.lock());
        std::iter::from_fn(|| session.in_flight.open(&nobody, None)).collect()
    }

    /// Gives one of them back.
    pub(crate) fn give_back(&self, number: CallId) {
        let was_full = self.conn.is_full();
        self.conn.session.lock().in_flight.give_up(number, false);
        self.conn.on_number_free(was_full);
    }

    /// Whether no call number is in use or rests.
    pub(crate) fn is_quiet(&self) -> bool {
        self.conn.session.lock().in_flight.is_quiet()
    }

    /// The connection ends.
    pub(crate) fn lose(mut self, reason: &Disconnected) {
        self.conn.conn.outbox.close();
        self.handler.on_end(reason);
        self.conn.conn.ended.cancel();
        self.conn.conn.end_accounts();
    }
}

fn node(name: &str) -> NodeName {
    NodeName::new(name, &Limits::default()).expect("a name")
}
