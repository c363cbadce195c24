//! What a client asks to be told of: those who expose what it calls, and all when its program asks
//! who is there.

use std::{sync::Arc, time::Duration};

use daffi_wire::{Credit, EventKind, MethodName, NodeName, Shown, Watch};

use super::{ClientConn, ClientCore, called, connection::ClientHandler};
use crate::{
    conn::Class,
    error::{CallError, shorten},
    events::MemberEvent,
    keyed::Names,
    session::Members,
    stats::STATS,
};

/// A client that calls more callbacks than this, or names with more bytes, is told of all members.
const MOST_NAMES: usize = 1024;
const MOST_BYTES: usize = 64 * 1024;

/// After this time a server that refused to tell of all members is asked again.
const ASKS_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a client wants to be told of, on each of its connections.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    all: bool,
    names: Names<MethodName>,
    /// Bytes of the names.
    bytes: usize,
}

impl Wanted {
    pub(super) fn everything() -> Self {
        Self { all: true, ..Self::default() }
    }

    pub(super) const fn is_all(&self) -> bool {
        self.all
    }

    /// Adds a callback. Gives what to ask for.
    fn add(&mut self, method: MethodName) -> Watch {
        if !self.all && !self.names.contains(&method) {
            if self.names.len() >= MOST_NAMES || self.bytes + method.len() > MOST_BYTES {
                *self = Self::everything();
            } else {
                self.bytes += method.len();
                self.names.insert(method.clone());
            }
        }
        if self.all { Watch::all() } else { Watch { add: vec![method], ..Watch::default() } }
    }

    /// All that it wants. `None`: nothing.
    pub(super) fn whole(&self) -> Option<Watch> {
        let wants = self.all || !self.names.is_empty();
        wants.then(|| Watch { all: self.all, add: self.names.iter().cloned().collect(), remove: Vec::new() })
    }
}

impl ClientCore {
    /// Has servers tell this node of all members, from now on.
    pub(super) fn want_all(&self) {
        let mut wanted = self.wanted.lock();
        if wanted.all {
            return;
        }
        *wanted = Wanted::everything();
        drop(wanted);
        if let Some(conn) = self.connection_now() {
            conn.ask_for(Watch::all());
        }
    }

    /// The callback of a call for which it is not known who exposes it, as the server was not asked
    /// or has not answered.
    pub(crate) fn find_unwatched(&self, members: &Members, method: &str) -> Option<MethodName> {
        if members.knows(method) || method == STATS {
            return None;
        }
        // Nobody exposes what is no name.
        MethodName::new(method, &self.node.config.limits).ok()
    }

    /// Waits until `conn` tells who exposes a callback. Cancel safe.
    ///
    /// # Errors
    /// The connection has ended, or its server does not tell.
    pub(crate) async fn watch(&self, conn: &Arc<ClientConn>, method: MethodName) -> Result<(), CallError> {
        let mut asked = false;
        loop {
            let told = conn.told.notified();
            if conn.members().knows(&method) {
                return Ok(());
            }
            if let Some(error) = conn.end_error() {
                return Err(error);
            }
            if !conn.session.lock().has_asked(&method) {
                if asked {
                    return Err(CallError::Overloaded(conn.why_not_told()));
                }
                conn.ask_for(self.wanted.lock().add(method.clone()));
                asked = true;
                continue;
            }
            asked = true;
            told.await;
        }
    }
}

impl ClientConn {
    /// Asks the server to tell of more members, unless it was asked or tells in any case.
    pub(super) fn ask_for(&self, change: Watch) {
        // Answers come in the order of the questions.
        let _in_order = self.asking.lock();
        let asks = self.session.lock().watch(change);
        match asks {
            // A connection that has ended tells nothing any more.
            Ok(Some(frame)) => drop(self.conn.send(Class::Notice, &frame)),
            Ok(None) => {}
            Err(error) => self.note_not_told(&error.to_string()),
        }
    }

    /// Whoever waits to be told of members looks again.
    pub(super) fn on_told(&self) {
        self.told.notify_waiters();
    }

    /// The server does not tell of the members that it was asked for.
    pub(super) fn note_not_told(&self, reason: &str) {
        let reason = shorten(reason);
        let before = std::mem::replace(&mut *self.refused.lock(), reason.clone());
        if before != reason {
            tracing::warn!(node = %self.name, reason, "the router does not tell of the members it was asked for");
        }
        self.on_told();
    }

    fn why_not_told(&self) -> String {
        format!("the router does not tell who exposes the callback: {}", self.refused.lock())
    }
}

impl ClientHandler {
    /// The server tells of those as well who were asked for.
    pub(super) fn on_watching(&mut self, new: Vec<(EventKind, String)>) {
        if std::mem::take(&mut self.asks_again) {
            let showing = self.shared.showing();
            self.connection.publish();
            showing.catch_up(&self.connection);
        } else {
            self.on_members(new, Vec::new());
            self.show();
        }
        self.connection.on_told();
    }

    pub(super) fn on_watch_refused(&mut self, reason: String) {
        self.connection.note_not_told(&reason);
        if std::mem::take(&mut self.asks_again) {
            // What it tells unasked is all that there is to be shown: nobody of before.
            let showing = self.shared.showing();
            self.connection.publish();
            showing.catch_up(&self.connection);
        }
        if self.shared.wanted.lock().is_all() {
            self.asks_for_all = Some(called::now() + ASKS_AGAIN_AFTER);
        }
    }

    /// Somebody tells what it takes of what nobody answers, or that it begins to send such.
    pub(super) fn on_credit(&self, from: &str, says: Credit) {
        let credit = &self.connection.credit;
        match says {
            Credit::Grants(grant) => credit.on_grant(from, grant),
            Credit::Begins(flow) => match self.sender(from) {
                Some(sender) => credit.on_begin(sender, flow),
                None => tracing::debug!(from = %Shown::name(from), "dropped a flow of who is no member"),
            },
        }
    }

    /// The name of one who sends what nobody answers. To a node that is told of all a Router tells
    /// of a sender before that speaks, and its list is bounded; of others it is looked at how many
    /// there are.
    fn sender(&self, name: &str) -> Option<NodeName> {
        let members = self.connection.members();
        if let Some(sender) = members.get(name) {
            return Some(sender.name.clone());
        }
        let may_be = !members.knows_all() && self.connection.credit.admits_sender(name);
        NodeName::new(name, &self.shared.node.config.limits).ok().filter(|_| may_be)
    }

    /// Keeps news until the list that goes with them is shown.
    pub(super) fn note(&mut self, kind: EventKind, member: String) {
        self.untold.extend(match kind {
            EventKind::Connected => Some(MemberEvent::Added(member)),
            EventKind::Disconnected => Some(MemberEvent::Removed(member)),
            EventKind::Evicted => Some(MemberEvent::Evicted(member)),
            EventKind::Stopping => {
                self.shared.on_server_stops(&self.connection);
                None
            }
            EventKind::Stopped => {
                self.answered_all = true;
                None
            }
            _ => None,
        });
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::Limits;

    use super::*;

    #[test]
    fn a_client_that_calls_very_many_callbacks_asks_for_all() {
        let method = |name: String| MethodName::new(name, &Limits::default()).unwrap();
        let mut wanted = Wanted::default();
        assert!(wanted.whole().is_none());
        for n in 0..MOST_NAMES {
            for _ in 0..2 {
                assert_eq!(wanted.add(method(format!("f{n}"))).add, [method(format!("f{n}"))]);
            }
        }
        assert_eq!(wanted.whole().unwrap().add.len(), MOST_NAMES);
        assert!(wanted.add(method("one-more".into())).all && wanted.is_all());
        assert_eq!((wanted.whole(), wanted.names.len()), (Some(Watch::all()), 0));
        let mut wanted = Wanted::default();
        let count = (0..MOST_NAMES).take_while(|n| !wanted.add(method(format!("{n}{}", "x".repeat(900)))).all).count();
        assert!((60..80).contains(&count), "{count}");
    }
}
