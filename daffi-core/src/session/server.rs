//! The server's side of a handshake, as far as Services and Routers do the same.

use daffi_wire::{
    Attempt, BodyError, CallId, EncodeError, EventBody, EventKind, Frame, Handshake, Header, Kind, Level, Limits,
    NodeName, NodeType, Role,
};

use crate::error::{ProtocolError, shorten};

/// A client's handshake that can be answered.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) name: NodeName,
    pub(crate) body: Handshake,
    /// What both sides speak.
    pub(crate) level: Level,
}

impl Hello {
    /// Reads a HANDSHAKE of a connection that is `known` by a name or new.
    ///
    /// # Errors
    /// Why it has to be refused, in words for the peer.
    pub(crate) fn read(frame: &Frame, known: Option<&NodeName>, limits: &Limits) -> Result<Self, String> {
        let name = NodeName::new(frame.transmitter(), limits).map_err(|error| explain(&error.into()))?;
        let body = Handshake::parse(frame.payload(), limits).map_err(|error| explain(&error))?;
        if known.is_some_and(|known| *known != name) {
            return Err(ProtocolError::Renamed(name.to_string()).to_string());
        }
        let offered = body.node_type;
        let level = if offered.role() == Some(Role::Client) { Level::agree(offered.level()) } else { Level::THREE };
        Ok(Self { name, body, level })
    }
}

/// Gives the only form of refusal that 3.0.1 clients read: the reply to a handshake with the reason
/// in it.
pub(crate) fn handshake_refusal(
    role: Role,
    request: &Frame,
    reason: &str,
    limits: &Limits,
) -> Result<Frame, EncodeError> {
    let refusal = Handshake::refusal(NodeType::new(role, Level::THREE), shorten(reason));
    handshake_reply(request, &refusal.to_json(), limits)
}

/// Why a connection cannot have the name of a later one of the same client.
pub(crate) fn attempt_is_past(name: &NodeName) -> String {
    format!("a later attempt of this client has the name {:?}", shorten(name))
}

/// Why a second connection cannot have a name.
pub(crate) fn name_taken(name: &NodeName) -> String {
    format!("another connection bears the name {:?}, and this server lets the first one keep it", shorten(name))
}

/// Why a client cannot bear the name of its Service. Who bears it knows its refusal by these words.
pub(crate) fn name_of_service(name: &NodeName) -> String {
    format!("{name} is the name of the service itself, which a client cannot bear: choose another")
}

/// Why a newcomer is not told who is there.
pub(crate) fn no_room_for_list(bytes: usize) -> String {
    format!("too much waits for others now to give out the list of members, of {bytes} bytes; try again")
}

/// Header and names are copied from the request, as 3.0.1 does
/// ([protocol, 3](daffi_wire::protocol#3)).
pub(crate) fn handshake_reply(request: &Frame, body: &[u8], limits: &Limits) -> Result<Frame, EncodeError> {
    reply_saying(request, request.method(), body, limits)
}

/// The same for one that is let in, at this level: it says as well that attempts are known
/// ([level 4](daffi_wire::level_four#attempts)).
pub(crate) fn reply_to_member(
    request: &Frame,
    level: Level,
    body: &[u8],
    limits: &Limits,
) -> Result<Frame, EncodeError> {
    let says = request.method();
    let tells_attempt = level.at_least(Level::FOUR) && Attempt::read(says).is_some();
    reply_saying(request, if tells_attempt { Handshake::KNOWS_ATTEMPTS } else { says }, body, limits)
}

fn reply_saying(request: &Frame, section: &str, body: &[u8], limits: &Limits) -> Result<Frame, EncodeError> {
    let header = request.header().handshake_reply();
    Frame::new(header, request.transmitter(), request.receiver(), section, body, limits)
}

/// An EVENTS frame ([protocol, 3](daffi_wire::protocol#3)).
pub(crate) fn event_frame(kind: EventKind, member: &NodeName, limits: &Limits) -> Result<Frame, EncodeError> {
    let body = EventBody { kind, member: member.to_string() }.to_json();
    Frame::new(Header::control(Kind::Events, CallId::NONE, false), "", "", "", &body, limits)
}

/// An error and its cause in one line: the peer reads nothing else.
fn explain(error: &BodyError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
