//! The server's side of a handshake, as far as Services and Routers do the same.

use daffi_wire::{
    CallId, EncodeError, EventBody, EventKind, Frame, Handshake, Header, Kind, Level, Limits, NodeName, NodeType, Role,
};

use super::Server;
use crate::{Disconnected, ProtocolError, conn::Conn, error::shortened};

/// A client's handshake that can be answered.
pub(crate) struct Hello {
    pub(crate) name: NodeName,
    pub(crate) body: Handshake,
    /// What both sides speak.
    pub(crate) level: Level,
}

impl Server {
    /// Reads a HANDSHAKE of a connection that is `known` by a name or new. `None`: it was refused, and the connection ends.
    pub(crate) fn hello(&self, role: Role, conn: &Conn, known: Option<&NodeName>, frame: &Frame) -> Option<Hello> {
        let limits = &self.config.limits;
        let name = NodeName::new(frame.transmitter(), limits).map_err(daffi_wire::BodyError::from);
        let refused = match (name, Handshake::parse(frame.payload(), limits)) {
            (Err(error), _) | (_, Err(error)) => explained(&error),
            (Ok(name), Ok(_)) if known.is_some_and(|known| *known != name) => {
                ProtocolError::Renamed(name.to_string()).to_string()
            }
            _ if self.is_stopping() => format!("{} is stopping", self.name),
            (Ok(name), Ok(body)) => {
                let offered = body.node_type;
                let level =
                    if offered.role() == Some(Role::Client) { Level::agreed(offered.level()) } else { Level::THREE };
                return Some(Hello { name, body, level });
            }
        };
        self.refuse(role, conn, frame, &refused);
        None
    }

    /// Answers a handshake in the only form of refusal that 3.0.1 clients read, and ends the connection.
    pub(crate) fn refuse(&self, role: Role, conn: &Conn, frame: &Frame, reason: &str) {
        let reason = shortened(reason);
        tracing::info!(peer = %conn.peer, reason, "refused a handshake");
        let refusal = Handshake::refusal(NodeType::new(role, Level::THREE), reason.clone());
        self.send(conn, frame.transmitter(), handshake_reply(frame, &refusal.to_json(), &self.config.limits));
        conn.end(Disconnected::Refused(reason), true);
    }
}

/// Header and names are copied from the request, as 3.0.1 does
/// ([protocol, 3](daffi_wire::protocol#3)).
pub(crate) fn handshake_reply(request: &Frame, body: &[u8], limits: &Limits) -> Result<Frame, EncodeError> {
    let header = request.header().handshake_reply();
    Frame::new(header, request.transmitter(), request.receiver(), request.method(), body, limits)
}

/// An EVENTS frame ([protocol, 3](daffi_wire::protocol#3)).
pub(crate) fn event_frame(kind: EventKind, member: &NodeName, limits: &Limits) -> Result<Frame, EncodeError> {
    let body = EventBody { kind, member: member.to_string() }.to_json();
    Frame::new(Header::control(Kind::Events, CallId::NONE, false), "", "", "", &body, limits)
}

/// An error and its cause in one line: the peer reads nothing else.
fn explained(error: &daffi_wire::BodyError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
