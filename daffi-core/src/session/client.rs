//! A client's end of one connection.

use std::task::Waker;

use daffi_wire::{
    BodyError, CallId, Credit, EncodeError, EventBody, EventKind, Frame, Handshake, Header, Kind, Level, Limits,
    Member, MethodName, NodeName, NodeType, Role,
};

use super::{Completed, InFlight, Members, Token, members::MemberList};
use crate::error::{Disconnected, ProtocolError};

/// What the members may take in memory: so many times the longest list in one frame.
const LIST_FACTOR: usize = 4;

/// Why a server of 3.0.1 gets no token.
const NO_TOKENS: Disconnected =
    Disconnected::TokenWithheld("the server speaks wire level 3, that of daffi 3.0.1, which takes none");

/// A client's end of one connection: its handshake, its members and its open calls.
#[derive(Debug)]
pub(crate) struct ClientSession {
    name: NodeName,
    limits: Limits,
    pub(crate) in_flight: InFlight,
    members: MemberList,
    opened: bool,
    is_level_four: bool,
    server_role: Option<Role>,
    /// The server is a level 4 Router: it answers every call, also one whose receiver left.
    router_ends_calls: bool,
    /// This node only looks who is there.
    looks: bool,
    /// By what it shows who it is.
    token: Option<Token>,
    /// The server was told that it follows, and has not answered.
    token_follows: bool,
}

/// What a frame from the server means.
#[derive(Debug)]
pub(crate) enum Handled {
    /// A call for this node's callbacks.
    Serve(Frame),
    /// An open call ended; wake its caller.
    Completed(Completed),
    /// The server takes a token: the second HANDSHAKE is to carry it.
    TakesToken,
    /// The server answered the handshake: the session is open, at this level.
    Opened(Level),
    /// The list of members changed.
    MembersChanged(Vec<(EventKind, String)>, Vec<Waker>),
    /// Something happened to a member that changes no list.
    Told(EventBody, Vec<Waker>),
    /// Whether this node lives, or the server does.
    Ping(Frame),
    /// A caller gave a call to this node up.
    Cancel(Frame),
    /// DATA, CREDIT or CANCEL of a call of this node's own.
    OwnCall(Frame),
    /// DATA or CREDIT of a call to this node's callbacks.
    ServedCall(Frame),
    /// A receiver or a sender speaks of credit.
    Credit { from: String, says: Credit },
    /// A reply that matches no open call, or an event that can't be read. Dropped.
    Dropped(&'static str),
}

impl ClientSession {
    /// A session on a new connection. `in_flight` goes on from the connection before, if there was
    /// one.
    pub(crate) fn new(name: NodeName, limits: Limits, in_flight: InFlight) -> Self {
        Self {
            members: MemberList::new(name.clone()),
            name,
            limits,
            in_flight,
            opened: false,
            is_level_four: false,
            server_role: None,
            router_ends_calls: false,
            looks: false,
            token: None,
            token_follows: false,
        }
    }

    /// Asks the server to tell nobody of this node ([level
    /// 4](daffi_wire::level_four#clients-that-only-look)).
    pub(crate) fn look_only(mut self, looks: bool) -> Self {
        self.looks = looks;
        self
    }

    /// Has this node show a token, to servers that take one.
    pub(crate) fn with_token(mut self, token: Option<Token>) -> Self {
        self.token = token;
        self
    }

    /// The first HANDSHAKE: the one that announces this node, or, of a node with a token, one that
    /// says that it follows ([level 4](daffi_wire::level_four#tokens)).
    pub(crate) fn first_hello(&mut self, methods: Vec<MethodName>) -> Result<Frame, EncodeError> {
        if self.token.is_none() {
            return self.hello(methods);
        }
        self.token_follows = true;
        self.handshake_frame(&self.about(Vec::new()).to_json(), Handshake::TOKEN_FOLLOWS)
    }

    /// The second HANDSHAKE, with the token.
    pub(crate) fn hello_with_token(&mut self, methods: Vec<MethodName>) -> Result<Frame, EncodeError> {
        let Some(token) = self.token.take() else { return self.hello(methods) };
        let section = if self.looks { Handshake::LOOK_ONLY } else { "" };
        self.handshake_frame(&self.about(methods).to_json_with_token(token.expose()), section)
    }

    fn about(&self, methods: Vec<MethodName>) -> Handshake {
        Handshake::new(NodeType::new(Role::Client, Level::HIGHEST), vec![Member::new(self.name.clone(), methods)])
    }

    fn handshake_frame(&mut self, body: &[u8], section: &str) -> Result<Frame, EncodeError> {
        let header = Header::control(Kind::Handshake, self.in_flight.pass(), true);
        Frame::new(header, &self.name, "", section, body, &self.limits)
    }

    /// The HANDSHAKE that announces this node and its callbacks
    /// ([protocol, 5.1](daffi_wire::protocol#5.1) and [protocol, 12](daffi_wire::protocol#12)).
    pub(crate) fn hello(&mut self, methods: Vec<MethodName>) -> Result<Frame, EncodeError> {
        let section = if self.looks { Handshake::LOOK_ONLY } else { "" };
        self.handshake_frame(&self.about(methods).to_json(), section)
    }

    /// Handles one frame from the server.
    pub(crate) fn handle_frame(&mut self, frame: Frame) -> Result<Handled, Disconnected> {
        match frame.kind() {
            Kind::Request => Ok(Handled::Serve(frame)),
            Kind::Response if self.goes_on(&frame) => Ok(Handled::OwnCall(frame)),
            Kind::Response => Ok(self.complete(frame)),
            Kind::Error if !self.opened => {
                // A refused handshake (docs/protocol.md#3): OPAQUE text.
                Err(Disconnected::from_refusal(&String::from_utf8_lossy(frame.payload())))
            }
            Kind::Error => Ok(self.complete(frame)),
            Kind::Handshake => self.handshake(&frame),
            Kind::Events => self.event(&frame),
            // return_result is the direction: 1 from the caller.
            Kind::Data | Kind::Cancel | Kind::Credit if frame.header().id() != CallId::NONE => {
                let served = frame.header().wants_reply();
                Ok(match frame.kind() {
                    _ if !served => Handled::OwnCall(frame),
                    Kind::Cancel => Handled::Cancel(frame),
                    _ => Handled::ServedCall(frame),
                })
            }
            Kind::Credit => Ok(Handled::Credit { from: frame.transmitter().to_owned(), says: Credit::read(&frame)? }),
            Kind::Ping => Ok(Handled::Ping(frame)),
            Kind::Cancel => Ok(Handled::Cancel(frame)),
            // Nothing of them is used yet, and who sends them may be newer than this node.
            Kind::Data | Kind::Watch | Kind::Unknown(_) => {
                Ok(Handled::Dropped("a frame of a kind that is not used yet"))
            }
            other => Err(ProtocolError::Direction(other).into()),
        }
    }

    /// Numbers of calls to `receiver` that rest, if so many do that no other should be made: only
    /// where there are others to call.
    pub(crate) fn rest_too_many(&self, receiver: &str) -> Option<usize> {
        self.in_flight.rest_too_many(receiver).filter(|_| self.server_role != Some(Role::Service))
    }

    /// Whether it says that the results of a call, or the rest of its result, follow in DATA.
    fn goes_on(&self, frame: &Frame) -> bool {
        frame.header().has_extensions()
            && self.is_level_four
            && frame
                .in_data()
                .is_ok_and(|says| says.is_some_and(|says| says.stream.items_follow || says.body.is_some()))
    }

    fn complete(&mut self, frame: Frame) -> Handled {
        match self.in_flight.complete(frame) {
            Some(completed) => Handled::Completed(completed),
            None => Handled::Dropped("a reply that matches no open call"),
        }
    }

    fn handshake(&mut self, frame: &Frame) -> Result<Handled, Disconnected> {
        // A server lists all members, where a client lists itself.
        let limits = self.limits.max_control_bytes(self.limits.max_list_bytes);
        let body = Handshake::parse(frame.payload(), &limits)?;
        if frame.transmitter() != self.name.as_str() {
            // That somebody came is told by the event that follows the notice, as for a node
            // without callbacks.
            let mut members = body.members;
            if self.server_role == Some(Role::Service) {
                let level = Level::agree(body.node_type.level());
                members.iter_mut().for_each(|member| member.level = level);
            }
            self.members.update(members);
            self.check_members()?;
            return Ok(Handled::MembersChanged(Vec::new(), Vec::new()));
        }
        if let Some(reason) = body.error {
            return Err(Disconnected::from_refusal(&reason));
        }
        let level = Level::agree(body.node_type.level());
        if std::mem::take(&mut self.token_follows) {
            return if level.at_least(Level::FOUR) { Ok(Handled::TakesToken) } else { Err(NO_TOKENS) };
        }
        self.server_role = body.node_type.role();
        self.is_level_four = level.at_least(Level::FOUR);
        self.router_ends_calls = self.server_role == Some(Role::Router) && level.at_least(Level::FOUR);
        let mut members = body.members;
        if self.server_role == Some(Role::Service) {
            // A Router says of each member what it speaks (docs/protocol.md#12); a Service is what
            // the link is.
            members.iter_mut().for_each(|member| member.level = level);
        }
        if self.server_role == Some(Role::Service) && members.iter().any(|member| member.name == self.name) {
            return Err(Disconnected::SameName(self.name.to_string()));
        }
        if !std::mem::replace(&mut self.opened, true) {
            self.members.replace(members);
            self.check_members()?;
            return Ok(Handled::Opened(level));
        }
        if level.at_least(Level::FOUR) && !self.looks {
            // The answer to a second handshake lists who changed (LEVEL_FOUR.md, "A second
            // handshake").
            self.members.update(members);
        } else {
            self.members.replace(members);
        }
        self.check_members()?;
        Ok(Handled::MembersChanged(Vec::new(), Vec::new()))
    }

    /// Fails where a server would make this node remember ever more members.
    fn check_members(&self) -> Result<(), BodyError> {
        let (size, limit) = (self.members.bytes(), self.limits.max_list_bytes.saturating_mul(LIST_FACTOR));
        if size > limit { Err(BodyError::TooLarge { what: "list of all members", size, limit }) } else { Ok(()) }
    }

    fn event(&mut self, frame: &Frame) -> Result<Handled, Disconnected> {
        // As 3.0.1 does, an event that can't be read is ignored whole (docs/protocol.md#5.3).
        let Ok(event) = EventBody::parse(frame.payload(), &self.limits) else {
            return Ok(Handled::Dropped("an event that can't be read"));
        };
        if event.kind == EventKind::Evicted && event.member == self.name.as_str() {
            return Err(Disconnected::Evicted);
        }
        // A Router of this project ends each call to a member that left itself, with an ERROR of
        // its own.
        let wakers = match event.kind {
            _ if self.router_ends_calls => Vec::new(),
            // The node that was asked is not the node that bears the name now.
            EventKind::Evicted => self.in_flight.evict_receiver(&event.member),
            EventKind::Disconnected => self.in_flight.end_receiver(&event.member),
            _ => Vec::new(),
        };
        if event.kind == EventKind::Disconnected && self.members.remove(&event.member) {
            return Ok(Handled::MembersChanged(vec![(event.kind, event.member)], wakers));
        }
        Ok(Handled::Told(event, wakers))
    }

    /// The members as this node sees them now.
    pub(crate) fn members(&self) -> Members {
        self.members.snapshot()
    }

    /// What the server said it is.
    pub(crate) const fn server_role(&self) -> Option<Role> {
        self.server_role
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> ClientSession {
        ClientSession::new(NodeName::new("me", &Limits::default()).unwrap(), Limits::default(), InFlight::default())
    }

    fn from_server(kind: Kind, id: CallId, transmitter: &str, body: &str) -> Frame {
        let header = Header::control(kind, id, false);
        Frame::new(header, transmitter, "", "", body.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn the_handshake_is_number_one_and_offers_level_four() {
        let mut session = session();
        let hello = session.hello(vec![MethodName::new("f", &Limits::default()).unwrap()]).unwrap();
        assert_eq!(hello.header().id(), CallId(1));
        assert_eq!(
            hello.payload(),
            br#"{"meta":{"type":"client/4","error":null},"members":[{"name":"me","methods":["f"]}]}"#
        );
        assert_eq!(session.in_flight.open(&NodeName::new("svc", &Limits::default()).unwrap(), None), Some(CallId(2)));
    }

    #[test]
    fn a_service_of_3_0_1_makes_a_level_three_session() {
        let mut session = session();
        let reply = r#"{"meta":{"type":"service","error":null},"members":[{"name":"svc","methods":["add"]}]}"#;
        let handled = session.handle_frame(from_server(Kind::Handshake, CallId(1), "me", reply));
        assert!(matches!(handled, Ok(Handled::Opened(Level::THREE))));
        assert_eq!(session.members().receivers_of("add").unwrap()[0].as_str(), "svc");
        assert_eq!(session.members().level("svc"), Level::THREE);
    }

    #[test]
    fn refusals_are_told() {
        let reply = r#"{"meta":{"type":"service","error":"no"},"members":[]}"#;
        let handled = session().handle_frame(from_server(Kind::Handshake, CallId(1), "me", reply));
        assert!(matches!(handled, Err(Disconnected::Refused(reason)) if reason == "no"));
        let handled = session().handle_frame(from_server(Kind::Error, CallId(1), "me", "failed to parse"));
        assert!(matches!(handled, Err(Disconnected::Refused(reason)) if reason == "failed to parse"));
    }

    #[test]
    fn members_come_and_go() {
        let mut session = session();
        let reply = r#"{"meta":{"type":"router"},"members":[{"name":"me","methods":null}]}"#;
        session.handle_frame(from_server(Kind::Handshake, CallId(1), "me", reply)).unwrap();
        let notice = r#"{"meta":{"type":"router"},"members":[{"name":"w1","methods":["f"]}]}"#;
        let handled = session.handle_frame(from_server(Kind::Handshake, CallId::NONE, "", notice));
        assert!(matches!(handled, Ok(Handled::MembersChanged(news, _)) if news.is_empty()));
        assert!(session.members().receivers_of("f").is_some());
        let came = r#"{"type":"connected","member":"w1"}"#;
        let handled = session.handle_frame(from_server(Kind::Events, CallId::NONE, "", came));
        assert!(matches!(handled, Ok(Handled::Told(event, _)) if event.member == "w1"), "told once");
        let gone = r#"{"type":"disconnected","member":"w1"}"#;
        session.handle_frame(from_server(Kind::Events, CallId::NONE, "", gone)).unwrap();
        assert!(session.members().receivers_of("f").is_none());
        let evicted = r#"{"type":"evicted","member":"me"}"#;
        let handled = session.handle_frame(from_server(Kind::Events, CallId::NONE, "", evicted));
        assert!(matches!(handled, Err(Disconnected::Evicted)));
    }
}
