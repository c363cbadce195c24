//! Callers of a client's callbacks that leave, or give a call up.

use std::sync::Arc;

use daffi_wire::{CallId, CallerLeft, Frame, NodeName};

use super::connection::ClientHandler;
use crate::{
    conn::Turn,
    error::Disconnected,
    serve::{CallerId, LastWord},
};

impl ClientHandler {
    pub(super) fn on_cancel(&mut self, turn: &mut Turn, frame: &Frame) -> Result<(), Disconnected> {
        if frame.header().id() == CallId::NONE {
            if let Some(says @ CallerLeft::Told(_)) = CallerLeft::read(frame)? {
                self.on_caller_left(turn, frame.transmitter(), says);
            }
        } else if let Some(caller) = self.find_known(frame) {
            self.shared.serving.cancel(turn, &mut self.intake, &caller, frame)?;
        }
        Ok(())
    }

    /// The server says that a caller has left, and wants to know when all is said about its calls.
    fn on_caller_left(&mut self, turn: &mut Turn, name: &str, says: CallerLeft) {
        // What was answered where it was read goes before what is said last, whoever says that.
        turn.flush();
        let caller = self.callers.remove(name);
        let known = caller.as_ref().map(|caller| (caller.caller_name().clone(), Some(caller.caller_id())));
        // Who is not known has no calls open: what came of it is answered.
        let who = known.or_else(|| NodeName::new(name, &self.connection.limits).ok().map(|name| (name, None)));
        let word =
            who.and_then(|(name, id)| LastWord::answering(says, (&self.connection.conn, &self.shared.node), name, id));
        self.leave(name, caller.map(|caller| caller.caller_id()), word.as_ref());
        self.connection.credit.forget(name);
    }

    /// The caller of that name has left, as the news say: nobody waits for what it called.
    pub(super) fn forget(&mut self, name: &str) {
        let caller = self.callers.remove(name).map(|caller| caller.caller_id());
        self.leave(name, caller, None);
        if let Some(caller) = caller {
            self.connection.conn.forget_data_from(caller.data_from());
        }
    }

    fn leave(&mut self, name: &str, caller: Option<CallerId>, word: Option<&Arc<LastWord>>) {
        if let Some(caller) = caller {
            self.intake.leave(caller, word);
        }
        self.caller = self.caller.take().filter(|known| known.caller() != name);
    }
}
