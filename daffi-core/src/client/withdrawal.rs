//! How a node that stops, or goes elsewhere, tells its Router that it exposes nothing any more.

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use daffi_wire::{CallId, Level};
use tokio::sync::Notify;

use super::ClientConn;
use crate::{conn::Class, error::Disconnected};

/// What a connection knows of it.
#[derive(Debug, Default)]
pub(super) struct Withdrawal {
    /// The number of the HANDSHAKE that says so; 0: none was sent.
    number: AtomicU16,
    done: Notify,
}

impl ClientConn {
    /// Tells a Router of this project that this node exposes nothing any more, and waits until it
    /// knows. Until then it sends calls, which are taken.
    pub(super) async fn withdraw(&self) {
        let hello = self.session.lock().hello(Vec::new());
        let Ok(frame) = hello else { return };
        self.withdrawal.number.store(frame.header().id().0, Relaxed);
        let withdrawn = self.withdrawal.done.notified();
        // A connection that has just ended needs no word.
        if self.conn.send(Class::Notice, &frame).is_ok() {
            tokio::select! {
                () = withdrawn => {}
                () = self.conn.ended.cancelled() => {}
            }
        }
    }

    /// Tells a server that stops, or was silent, that the calls of this node go elsewhere, and that
    /// nobody shall choose it there any more.
    pub(super) fn say_moved(&self) {
        let moved = self.session.lock().say_moved();
        if let Ok(frame) = moved
            && self.conn.level().at_least(Level::FOUR)
        {
            // A connection that has just ended needs no word.
            drop(self.conn.send(Class::Notice, &frame));
        }
    }

    /// What the end of this connection means where the server said before that it stops, where
    /// calls go to another one, or where another HANDSHAKE of this node took the name.
    /// `answered_all`: it has stopped, and has answered all. `node_ends`: this node does.
    pub(super) fn explain_end(&self, reason: &Disconnected, answered_all: bool, node_ends: bool) -> Disconnected {
        match reason {
            _ if answered_all => Disconnected::ServerStopped,
            Disconnected::PeerClosed if self.server_stops.load(Relaxed) => Disconnected::ServerCutOff,
            // The node goes on where it is by now.
            Disconnected::Stopped | Disconnected::Evicted if self.is_left.load(Relaxed) && !node_ends => {
                Disconnected::Replaced
            }
            Disconnected::Evicted if self.contest.goes_on() && !node_ends => Disconnected::Replaced,
            reason => reason.clone(),
        }
    }

    /// The server answered a HANDSHAKE of that number.
    pub(super) fn on_answer_to_hello(&self, number: CallId) {
        if number != CallId::NONE && self.withdrawal.number.load(Relaxed) == number.0 {
            self.conn.take_last_calls(false);
            self.withdrawal.done.notify_one();
        }
    }
}
