//! Tokens of newcomers: the first HANDSHAKE says that one follows, the second one carries it. Until
//! it was taken the newcomer is nobody: it has no name, stands in no list, and is ended by the
//! handshake's time.

use std::sync::Arc;

use daffi_transport::PeerInfo;
use daffi_wire::{Frame, Handshake, Kind, Level, NodeName, NodeType, Role, Shown};

use super::{Rights, Server};
use crate::{
    conn::{Class, Conn},
    session::{Denied, Hello, Token, handshake_reply},
};

/// Whether a client says that its token follows.
pub(super) fn follows(frame: &Frame) -> bool {
    frame.kind() == Kind::Handshake && frame.method() == Handshake::TOKEN_FOLLOWS
}

/// Whether nobody on the way reads what a client of this link sends.
fn is_private(client: &PeerInfo) -> bool {
    client.is_local() || matches!(client.scheme, "tls" | "wss")
}

impl Server {
    /// Answers the first HANDSHAKE of a client whose token follows, with nobody in the list. Notes
    /// its name. `false`: it is one of level 3, where the section has no meaning.
    pub(super) fn await_token(&self, role: Role, conn: &Conn, frame: &Frame, awaited: &mut Option<NodeName>) -> bool {
        let Some(Hello { name, level, .. }) = self.hello(role, conn, None, frame) else { return true };
        if !level.at_least(Level::FOUR) {
            return false;
        }
        if !is_private(&conn.peer) {
            let reason = "a token may come over TLS, a Unix socket, or from this host only: others may read this link";
            self.refuse_handshake(role, conn, frame, reason);
            return true;
        }
        let nobody = Handshake::new(NodeType::new(role, level), Vec::new()).to_json();
        self.send(conn, Class::Provoked, &name, handshake_reply(frame, &nobody, &self.config.limits));
        *awaited = Some(name);
        true
    }

    /// Looks at the token in the second HANDSHAKE. `false`: the handshake was refused.
    pub(super) fn take_token(&self, role: Role, conn: &Arc<Conn>, name: &NodeName, frame: &Frame) -> bool {
        if self.hello(role, conn, Some(name), frame).is_none() {
            return false;
        }
        match self.check_token(conn, frame) {
            Ok(()) => true,
            Err(text) => {
                let denied = Denied { action: "token", text };
                let denied = self.guard.note_denied(&mut Rights::new(Arc::clone(conn)), name, denied);
                self.refuse_handshake(role, conn, frame, &denied.text);
                false
            }
        }
    }

    fn check_token(&self, conn: &Conn, frame: &Frame) -> Result<(), String> {
        let Some(token) = Handshake::token(frame.payload()) else {
            return Err("the handshake that was to carry a token carries none".to_owned());
        };
        if !is_private(&conn.peer) {
            return Err(
                "a token came over a link that others may read, so others may know it now: replace it, and send \
                        it over TLS, a Unix socket, or to this host only"
                    .to_owned(),
            );
        }
        let token = Token::new(token).map_err(|error| error.to_string())?;
        // Without a policy that decides nobody asks who somebody is.
        let Some(policy) = self.guard.policy().filter(|policy| policy.decides()) else { return Ok(()) };
        let known = policy.name_of(&token).ok_or("this server does not know the token")?.to_owned();
        tracing::debug!(conn = conn.id, peer = %conn.peer, token = %Shown::name(&known), "a token was accepted");
        conn.accept_token(known, token);
        Ok(())
    }
}
