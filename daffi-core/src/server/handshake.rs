//! Answers to handshakes, as far as Services and Routers do the same.

use std::sync::atomic::Ordering;

use daffi_wire::{Attempt, Frame, Handshake, Level, NodeName, Role};

use super::Server;
use crate::{
    config::NamePolicy,
    conn::{Class, Conn},
    error::{Disconnected, shorten},
    session::{Hello, attempt_is_past, handshake_refusal, name_taken},
};

impl Server {
    /// Reads a HANDSHAKE of a connection that is `known` by a name or new. `None`: it was refused,
    /// and the connection ends.
    pub(crate) fn hello(&self, role: Role, conn: &Conn, known: Option<&NodeName>, frame: &Frame) -> Option<Hello> {
        let reason = match Hello::read(frame, known, &self.config.limits) {
            // A client of level 4 tries again. One of 3.0.1 never would, so it is let in and hears
            // of each call that it did not run.
            // Who only looks may see to the end what it waits for.
            Ok(Hello { level, .. }) if known.is_none() && level.at_least(Level::FOUR) && self.is_too_late(frame) => {
                format!("{} is stopping", self.name)
            }
            Ok(hello) => {
                let moves_on =
                    hello.level.at_least(Level::FOUR) && Handshake::says(frame.method(), Handshake::MOVES_ON);
                conn.take_last_calls(moves_on);
                if let Some(attempt) = Attempt::read(frame.method()).filter(|_| hello.level.at_least(Level::FOUR)) {
                    conn.note_attempt(attempt);
                }
                // Looked at behind that: whoever sees clients off does it the other way round.
                if self.has_seen_off.load(Ordering::SeqCst) {
                    conn.take_last_calls(false);
                }
                return Some(hello);
            }
            Err(reason) => reason,
        };
        self.refuse_handshake(role, conn, frame, &reason);
        None
    }

    /// Whether this newcomer of level 4 comes too late. Of one whose token follows the next
    /// handshake says whether it only looks.
    fn is_too_late(&self, first: &Frame) -> bool {
        let may_look = matches!(first.method(), Handshake::LOOK_ONLY | Handshake::TOKEN_FOLLOWS);
        self.life.is_closing() || self.is_stopping() && !may_look
    }

    /// Whether a newcomer may have the name that `holder` bears. `gives_way`: that one keeps it
    /// from nobody, whatever the policy. The error says why not.
    pub(crate) fn check_name(
        &self,
        name: &NodeName,
        newcomer: &Conn,
        holder: Option<&Conn>,
        gives_way: bool,
    ) -> Result<(), String> {
        let leaves = |holder: &Conn| holder.is_ending() || holder.is_draining() || holder.ended.is_cancelled();
        match holder {
            Some(holder) if newcomer.is_attempt_before(holder) => Err(attempt_is_past(name)),
            Some(holder) if self.changeable().name_policy != NamePolicy::Newest && !gives_way && !leaves(holder) => {
                Err(name_taken(name))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a handshake, and ends the connection.
    pub(crate) fn refuse_handshake(&self, role: Role, conn: &Conn, frame: &Frame, reason: &str) {
        let reason = shorten(reason);
        tracing::info!(conn = conn.id, peer = %conn.peer, reason, "refused a handshake");
        self.send(
            conn,
            Class::Provoked,
            frame.transmitter(),
            handshake_refusal(role, frame, &reason, &self.config.limits),
        );
        conn.end(Disconnected::Refused(reason), true);
    }
}
