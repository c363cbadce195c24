//! Which connection calls go to, and who is shown as a member.

use std::{collections::BTreeSet, error::Error, sync::Arc, time::Duration};

use daffi_serde::FormatSet;
use parking_lot::MutexGuard;
use tokio::time::timeout;

use super::{Client, ClientConn, ClientCore, ClientState, Current};
use crate::{
    deadline::OnRuntime,
    error::{CallError, Ended, InitializationError, WaitedFor},
    events::MemberEvent,
    session::Members,
};

/// The right to change where calls go and who is shown, which one has at a time: connections follow
/// each other on several threads, and no list or event of the one before comes behind those of the
/// next.
pub(super) struct Showing<'a> {
    core: &'a ClientCore,
    _one: MutexGuard<'a, ()>,
}

impl ClientCore {
    pub(super) fn showing(&self) -> Showing<'_> {
        Showing { core: self, _one: self.shows.lock() }
    }

    /// Why the last attempt to connect failed, if one has since there is no connection.
    pub(crate) fn last_failure(&self) -> Option<Arc<str>> {
        self.last_failure.lock().clone()
    }

    /// The error of a call when this client has ended so.
    pub(crate) fn end_error(&self, how: Ended) -> CallError {
        match how {
            Ended::Stopped | Ended::CutOff(_) | Ended::Unsent { .. } | Ended::Panicked => CallError::Stopped,
            Ended::Evicted => CallError::Evicted,
            Ended::CannotConnect => CallError::CannotConnect(self.last_failure().unwrap_or_default()),
            Ended::RuntimeGone => CallError::RuntimeGone,
        }
    }

    /// An attempt to connect failed. Gives what the error says, and what is behind it.
    pub(super) fn note_failure(&self, error: &InitializationError) -> String {
        let (mut text, mut cause) = (error.to_string(), error.source());
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        self.set_last_failure(Some(&text));
        text
    }

    pub(super) fn set_last_failure(&self, reason: Option<&str>) {
        *self.last_failure.lock() = reason.map(Arc::from);
    }
}

impl<F: FormatSet> Client<F> {
    #[doc = words!(wait_for_members)]
    pub async fn wait_for_members(&self, names: &[&str], within: Option<Duration>) -> Result<(), CallError> {
        self.shared().want_all();
        let missing = || names.iter().filter(|n| self.known_members().get(n).is_none()).copied().collect::<Vec<_>>();
        let all = async {
            let (mut changes, mut state) = (self.shared().changes.subscribe(), self.shared().state.subscribe());
            loop {
                // Without a connection the list is that of the one before.
                let is_told = self.shared().current().as_ref().is_some_and(|current| current.members.knows_all());
                match *state.borrow_and_update() {
                    ClientState::Ended(how) => return Err(self.shared().end_error(how)),
                    ClientState::Connected | ClientState::Replacing if is_told && missing().is_empty() => return Ok(()),
                    _ => {}
                }
                tokio::select! {
                    _ = changes.changed() => {}
                    _ = state.changed() => {}
                }
            }
        };
        match within {
            None => all.await,
            Some(after) => {
                OnRuntime::new(self.runtime(), async { timeout(after, all).await }).await.unwrap_or_else(|_| {
                    let receiver = missing().join(", ");
                    let waited_for = if self.is_connected() { WaitedFor::Members } else { WaitedFor::Connection };
                    let last_failure = self.last_failure();
                    Err(CallError::Timeout {
                        receiver,
                        method: "wait_for_members".into(),
                        after,
                        waited_for,
                        last_failure,
                    })
                })
            }
        }
    }

    /// Why the last attempt to connect failed, with what is behind that; `None` while there is a
    /// connection, or before an attempt has failed. The timeout of a call that waited for a
    /// connection says it as well.
    #[must_use]
    pub fn last_failure(&self) -> Option<Arc<str>> {
        self.shared().last_failure()
    }
}

impl Showing<'_> {
    /// Shows the members of `conn`, if calls go there. `to_all`: not to calls alone, but to whoever
    /// asks who is there.
    pub(super) fn publish(&self, conn: &Arc<ClientConn>, members: &Arc<Members>, to_all: bool) {
        if self.core.is_current(conn) {
            self.set(conn, members, to_all);
        }
    }

    /// Tells what happened to a member, if calls go to `conn`.
    pub(super) fn tell(&self, conn: &Arc<ClientConn>, event: MemberEvent) {
        if self.core.is_current(conn) {
            self.core.events.tell(event);
        }
    }

    /// Calls go to this connection from now on. `is_told`: it tells already of all whom this node
    /// wants to hear of.
    pub(super) fn enter(&self, conn: &Arc<ClientConn>, is_told: bool) {
        let before = self.core.members.load_full();
        self.set(conn, &conn.members(), is_told);
        self.core.set_last_failure(None);
        self.core.set_state(ClientState::Connected);
        if is_told {
            self.compare(&before, &conn.members());
        }
    }

    /// The connection tells by now of all whom this node wants to hear of.
    pub(super) fn catch_up(&self, conn: &Arc<ClientConn>) {
        if self.core.is_current(conn) {
            let before = self.core.members.load_full();
            self.set(conn, &conn.members(), true);
            self.compare(&before, &conn.members());
        }
    }

    /// Tells of those who came and went unseen.
    fn compare(&self, before: &Members, members: &Members) {
        let core = self.core;
        // Between two connections members may have come and gone unseen.
        let names = |members: &Members| members.iter().map(|m| m.name.to_string()).collect::<BTreeSet<_>>();
        let (old, new) = (names(before), names(members));
        if !old.is_empty() {
            old.difference(&new).for_each(|gone| core.events.tell(MemberEvent::Removed(gone.clone())));
            new.difference(&old).for_each(|come| core.events.tell(MemberEvent::Added(come.clone())));
        }
    }

    /// Calls go to this connection no more: it has ended, and another one will be made.
    pub(super) fn leave(&self, conn: &Arc<ClientConn>) {
        if self.core.is_current(conn) {
            self.clear();
        }
        self.core.state.send_if_modified(|state| {
            let is_lost = *state == ClientState::Connected && self.core.current.load().is_none();
            if is_lost {
                *state = ClientState::Reconnecting;
            }
            is_lost
        });
    }

    /// Calls go nowhere.
    pub(super) fn clear(&self) {
        self.core.current.store(None);
    }

    fn set(&self, conn: &Arc<ClientConn>, members: &Arc<Members>, to_all: bool) {
        let core = self.core;
        if to_all {
            core.members.store(Arc::clone(members));
        }
        core.current.store(Some(Arc::new(Current { conn: Arc::clone(conn), members: Arc::clone(members) })));
        core.changes.send_modify(|n| *n = n.wrapping_add(1));
    }
}
