//! What the policy does not let a member send.

use daffi_wire::{Frame, Kind};

use super::{
    Peer,
    calls::{
        bodies::give_up,
        forward::{Forwarder, refuse_request},
        streams,
    },
};
use crate::{error::Disconnected, session::Denied};

impl Forwarder {
    /// Another policy holds: finds out what this member may do.
    #[cold]
    pub(super) fn renew_rights(&mut self) -> Result<(), Disconnected> {
        let shared = std::sync::Arc::clone(&self.shared);
        let rights = self.rights_to_change();
        rights.renew(&shared.server.guard);
        rights.check_connected().map_err(|denied| {
            let Denied { text, .. } = shared.server.guard.note_denied(&mut self.rights, &self.me.peer.name, denied);
            Disconnected::Refused(text)
        })
    }

    #[cold]
    pub(super) fn deny_request(&mut self, frame: &Frame, denied: Denied) {
        let me = &self.me;
        let denied = self.shared.server.guard.note_denied(&mut self.rights, &me.peer.name, denied);
        refuse_request(&self.shared, me, frame, &denied.into_error());
    }

    /// Ends a call of which this member's answer may not pass, with an error in its place.
    #[cold]
    pub(super) fn deny_answer(&mut self, frame: &Frame, caller: &Peer, denied: Denied) {
        let (shared, me) = (&self.shared, &self.me.peer);
        let denied = shared.server.guard.note_denied(&mut self.rights, &me.name, denied);
        let text = format!("the answer of {} was {}", me.name, denied.text);
        let error = Denied { text, ..denied }.into_error();
        let number = frame.header().id();
        let is_owed = me.owes_answer(caller, number);
        if frame.kind() == Kind::Response && self.begins(frame).is_some() {
            // Its end is still to come.
            if caller.awaits(number, me.id()).is_some() {
                give_up(shared, me, caller, (number, None), frame.method(), &error);
            }
        } else if let Some(id) = caller.drop_call(number, me.id()) {
            caller.conn.forget_data(streams::key(me.id(), id, false));
            shared.refuse_answer(caller, id, &me.name, frame.method(), &error);
        } else {
            shared.end_given_up(caller, number, (me, is_owed));
        }
    }
}
