//! A client's end of one connection.

use std::{collections::VecDeque, task::Waker};

use daffi_wire::{
    BodyError, CallId, Credit, EncodeError, EventBody, EventKind, Frame, Handshake, Header, Kind, Level, Limits,
    Member, MethodName, NodeName, NodeType, Role, Watch,
};

use super::{Completed, InFlight, Members, Says, Token, members::MemberList, name_of_service};
use crate::{
    error::{Disconnected, ProtocolError},
    keyed::Names,
};

/// What the members may take in memory: so many times the longest list in one frame.
const LIST_FACTOR: usize = 4;

/// Why a server of 3.0.1 gets no token.
const NO_TOKENS: Disconnected = Disconnected::TokenWithheld(
    "the server speaks wire level 3, that of daffi 3.0.1, which takes none: connect without one",
);

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
    says: Says,
    /// The callbacks that it has asked for.
    asked: Names<MethodName>,
    asked_all: bool,
    /// What the Router has not answered, in order.
    unanswered: VecDeque<Watch>,
    /// By what it shows who it is.
    token: Option<Token>,
    /// The server was told that it follows, and has not answered.
    token_follows: bool,
    /// The server takes no name from a connection for an attempt before it.
    knows_attempts: bool,
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
    /// The Router answered a WATCH; those are listed now who were not before.
    Watching(Vec<(EventKind, String)>),
    /// The Router does not tell what was asked for.
    WatchRefused(String),
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
            says: Says::default(),
            asked: Names::default(),
            asked_all: false,
            unanswered: VecDeque::new(),
            token: None,
            token_follows: false,
            knows_attempts: false,
        }
    }

    /// Has its HANDSHAKEs say this.
    pub(crate) fn saying(mut self, says: Says) -> Self {
        self.says = says;
        self
    }

    /// Whether the server is one that is to be believed who calls.
    pub(crate) fn believes_identities(&self) -> bool {
        self.says.identities && self.server_role == Some(Role::Router)
    }

    /// The HANDSHAKE that says that calls go elsewhere from now on.
    pub(crate) fn say_moved(&mut self) -> Result<Frame, EncodeError> {
        self.says.moves = false;
        self.hello(Vec::new())
    }

    /// Whether the server takes no name from a connection for an attempt before it.
    pub(crate) const fn server_knows_attempts(&self) -> bool {
        self.knows_attempts
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
        let section = self.says.section();
        self.handshake_frame(&self.about(methods).to_json_with_token(token.expose()), &section)
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
        let section = self.says.section();
        self.handshake_frame(&self.about(methods).to_json(), &section)
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
            Kind::Watch => self.watching(&frame),
            Kind::Ping => Ok(Handled::Ping(frame)),
            Kind::Cancel => Ok(Handled::Cancel(frame)),
            // Nothing of them is used yet, and who sends them may be newer than this node.
            Kind::Data | Kind::Unknown(_) => Ok(Handled::Dropped("a frame of a kind that is not used yet")),
            other => Err(ProtocolError::Direction(other).into()),
        }
    }

    /// Numbers of calls to `receiver` that rest, if so many do that no other should be made: only
    /// where there are others to call.
    pub(crate) fn rest_too_many(&self, receiver: &str) -> Option<usize> {
        self.in_flight.rest_too_many(receiver).filter(|_| self.server_role != Some(Role::Service))
    }

    /// Whether it says that the results of a call, or the rest of its result, follow in DATA.
    pub(crate) fn goes_on(&self, frame: &Frame) -> bool {
        frame.kind() == Kind::Response
            && frame.header().has_extensions()
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
        let level = Level::agree(body.node_type.level());
        if frame.transmitter() != self.name.as_str() {
            // That somebody came is told by the event that follows the notice, as for a node
            // without callbacks.
            let (listed, gone): (Vec<_>, Vec<_>) =
                body.members.into_iter().partition(|member| self.members.is_told_of(member));
            self.members.update(self.at_level(listed, level));
            // Nothing more is told of those who expose nothing any more that is watched. They are
            // listed no more, and may still wait for answers of this node: when they leave, the
            // Router says so by CANCEL.
            for member in gone {
                self.members.remove(&member.name);
            }
            self.check_members()?;
            return Ok(Handled::MembersChanged(Vec::new(), Vec::new()));
        }
        if let Some(reason) = body.error {
            if reason == name_of_service(&self.name) {
                return Err(Disconnected::SameName(self.name.to_string()));
            }
            return Err(Disconnected::from_refusal(&reason));
        }
        if std::mem::take(&mut self.token_follows) {
            return if level.at_least(Level::FOUR) { Ok(Handled::TakesToken) } else { Err(NO_TOKENS) };
        }
        self.knows_attempts = level.at_least(Level::FOUR) && Handshake::says(frame.method(), Handshake::KNOWS_ATTEMPTS);
        self.server_role = body.node_type.role();
        self.is_level_four = level.at_least(Level::FOUR);
        self.router_ends_calls = self.server_role == Some(Role::Router) && level.at_least(Level::FOUR);
        let members = self.at_level(body.members, level);
        if self.server_role == Some(Role::Service) && members.iter().any(|member| member.name == self.name) {
            return Err(Disconnected::SameName(self.name.to_string()));
        }
        if !std::mem::replace(&mut self.opened, true) {
            self.says.watches &= self.router_ends_calls;
            match self.says.watches {
                true => self.members.watch_nothing(members),
                false => self.members.replace(members),
            }
            self.check_members()?;
            return Ok(Handled::Opened(level));
        }
        if level.at_least(Level::FOUR) && !self.says.looks {
            // The answer to a second handshake lists who changed (LEVEL_FOUR.md, "A second
            // handshake").
            self.members.update(members);
        } else {
            self.members.replace(members);
        }
        self.check_members()?;
        Ok(Handled::MembersChanged(Vec::new(), Vec::new()))
    }

    /// Asks the Router to tell of those as well who expose these callbacks, or of all. `None`: that
    /// was asked, or is told in any case.
    ///
    /// # Errors
    /// When the names do not fit into a frame.
    pub(crate) fn watch(&mut self, mut change: Watch) -> Result<Option<Frame>, EncodeError> {
        change.add.retain(|name| !self.asked.contains(name));
        if !self.says.watches || self.asked_all || !change.all && change.add.is_empty() {
            return Ok(None);
        }
        let frame = change.frame(&self.name, &self.limits)?;
        self.asked.extend(change.add.iter().cloned());
        self.asked_all = change.all;
        self.unanswered.push_back(change);
        Ok(Some(frame))
    }

    /// Whether the Router was asked who exposes this, and has not refused to tell.
    pub(crate) fn has_asked(&self, method: &str) -> bool {
        self.asked_all || self.asked.contains(method)
    }

    /// Whether the Router tells this node only of those whom it watches.
    pub(crate) const fn watches(&self) -> bool {
        self.says.watches
    }

    /// Takes the answer to the first WATCH that was not answered.
    fn watching(&mut self, frame: &Frame) -> Result<Handled, Disconnected> {
        let limits = self.limits.max_control_bytes(self.limits.max_list_bytes);
        let body = Handshake::parse(frame.payload(), &limits)?;
        let Some(change) = self.unanswered.pop_front() else {
            return Ok(Handled::Dropped("an answer to no WATCH"));
        };
        if let Some(reason) = body.error {
            self.asked_all &= !change.all;
            change.add.iter().for_each(|name| _ = self.asked.remove(name));
            return Ok(Handled::WatchRefused(reason));
        }
        let before = self.members.snapshot();
        let new = body.members.iter().filter(|member| before.get(&member.name).is_none());
        let new = new.map(|member| (EventKind::Connected, member.name.to_string())).collect();
        match change.all {
            true => self.members.replace(body.members),
            false => self.members.watch(&change.add, body.members),
        }
        self.check_members()?;
        Ok(Handled::Watching(new))
    }

    /// Members as a server at this level lists them. A Router says of each what it speaks
    /// ([protocol, 12](daffi_wire::protocol#12)); a Service is what the link is.
    fn at_level(&self, mut members: Vec<Member>, level: Level) -> Vec<Member> {
        if self.server_role == Some(Role::Service) {
            members.iter_mut().for_each(|member| member.level = level);
        }
        members
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
        // Who takes a name is told of behind this, if this node watches anything of it.
        let is_gone = event.kind == EventKind::Disconnected || event.kind == EventKind::Evicted && self.says.watches;
        if is_gone && self.members.remove(&event.member) {
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
    fn a_node_is_told_of_whom_it_watches() {
        let method = |name| MethodName::new(name, &Limits::default()).unwrap();
        let add = |name| Watch { add: vec![method(name)], ..Watch::default() };
        let mut session = session().saying(Says { identities: true, watches: true, ..Says::default() });
        assert_eq!(session.hello(Vec::new()).unwrap().method(), "identity:tell,watch:none");
        let router = |members: &str| format!(r#"{{"meta":{{"type":"router/4"}},"members":[{members}]}}"#);
        let own = r#"{"name":"me","methods":null,"level":4}"#;
        session.handle_frame(from_server(Kind::Handshake, CallId(1), "me", &router(own))).unwrap();
        assert!(!session.members().knows("f"));
        assert!(session.watch(add("f")).unwrap().is_some() && session.watch(add("f")).unwrap().is_none());
        assert!(session.watch(add("g")).unwrap().is_some() && session.has_asked("g"));
        let w1 = r#"{"name":"w1","methods":["f"],"level":4}"#;
        let answer = |body: &str| Watch::answer("me", body.as_bytes(), &Limits::default()).unwrap();
        let handled = session.handle_frame(answer(&router(w1)));
        assert!(matches!(handled, Ok(Handled::Watching(new)) if new == [(EventKind::Connected, "w1".into())]));
        assert!(session.members().knows("f") && session.members().receivers_of("f").is_some());
        let refused = r#"{"meta":{"type":"router/4","error":"too much"},"members":[]}"#;
        let handled = session.handle_frame(answer(refused));
        assert!(matches!(handled, Ok(Handled::WatchRefused(reason)) if reason == "too much"));
        assert!(!session.has_asked("g") && !session.members().knows("g"));
        // A notice of one that exposes nothing of it any more says that no more is told of it.
        let notice = r#"{"name":"w1","methods":["h"],"level":4}"#;
        let handled = session.handle_frame(from_server(Kind::Handshake, CallId::NONE, "", &router(notice)));
        assert!(matches!(handled, Ok(Handled::MembersChanged(news, _)) if news.is_empty()), "it has not left");
        assert!(session.members().get("w1").is_none());
        assert!(session.watch(Watch::all()).unwrap().is_some() && session.watch(add("x")).unwrap().is_none());
        session.handle_frame(answer(&router(&format!("{own},{w1}")))).unwrap();
        assert!(session.members().knows_all() && session.members().receivers_of("f").is_some());
        assert!(matches!(session.handle_frame(answer(&router(""))), Ok(Handled::Dropped(_))));
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
