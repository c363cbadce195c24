//! How far a call came, for the words of its timeout.

use std::{sync::Arc, time::Duration};

use daffi_wire::NodeName;

use crate::{
    client::{ClientConn, ClientCore},
    error::{ANY_MEMBER, CallError, WaitedFor},
    session::IDS,
};

/// How far a call came.
#[derive(Debug)]
pub(super) struct Progress {
    waited_for: WaitedFor,
    conn: Option<Arc<ClientConn>>,
    receiver: Option<NodeName>,
    /// Who is to be called, where the caller says so.
    named: Option<String>,
    /// The client whose connection it waits for.
    client: Option<Arc<ClientCore>>,
    /// It has a call number, so it may have left.
    numbered: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            waited_for: WaitedFor::Connection,
            conn: None,
            receiver: None,
            named: None,
            client: None,
            numbered: false,
        }
    }
}

impl Progress {
    pub(super) const fn waits_for(&mut self, what: WaitedFor) {
        self.waited_for = what;
    }

    /// The call waits for a connection of this client.
    pub(super) fn waits_to_connect(&mut self, client: &Arc<ClientCore>) {
        self.waited_for = WaitedFor::Connection;
        self.client.get_or_insert_with(|| Arc::clone(client));
    }

    /// The call waits for a member, for this one if it is named.
    pub(super) fn waits_for_receiver(&mut self, named: Option<&str>) {
        self.waited_for = WaitedFor::Receiver;
        self.named = named.map(ToOwned::to_owned);
    }

    /// The call has a connection and a receiver.
    pub(super) fn set_target(&mut self, conn: &Arc<ClientConn>, receiver: &NodeName) {
        self.conn = Some(Arc::clone(conn));
        self.receiver = Some(receiver.clone());
        self.waited_for = WaitedFor::Answer;
    }

    pub(super) const fn set_numbered(&mut self) {
        self.numbered = true;
    }

    pub(super) fn timeout_error(&self, method: &str, after: Duration) -> CallError {
        if !self.numbered && self.conn.as_ref().is_some_and(|conn| conn.is_full()) {
            let text = format!("all {IDS} call numbers of the connection were in use for {after:?}");
            return CallError::Overloaded(text);
        }
        let waited_for = self.waited_for;
        let receiver = match &self.named {
            Some(named) if waited_for == WaitedFor::Receiver => named.clone(),
            _ => receiver_text(self.receiver.as_ref()),
        };
        let client = self.client.as_ref().filter(|_| waited_for == WaitedFor::Connection);
        let last_failure = client.and_then(|client| client.last_failure());
        CallError::Timeout { receiver, method: method.to_owned(), after, waited_for, last_failure }
    }
}

/// The receiver of a call as errors show it, also where it was not chosen yet, or is chosen by a
/// Router.
pub(super) fn receiver_text(receiver: Option<&NodeName>) -> String {
    receiver.filter(|name| !name.is_empty()).map_or_else(|| ANY_MEMBER.into(), ToString::to_string)
}
