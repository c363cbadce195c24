//! Callers that leave, as those hear of it who have calls of theirs.
//!
//! A receiver is told by a number, behind all calls that it got of the caller and before any of the
//! next that bears the name. It says the number back when it has said all that it will about these
//! calls: what it did not answer rests no longer.

use std::sync::{Arc, atomic::Ordering};

use daffi_wire::{CallId, CallerLeft, Frame, Shown};

use super::forward::Forwarder;
use crate::{
    conn::Class,
    error::Disconnected,
    router::{Peer, RouterShared, flow::sender::Sender, waiting::ready::Sign},
    session::OpenCalls,
};

impl RouterShared {
    /// Closes the open calls of a member that is gone, and tells those who may still answer some,
    /// or to whom it sent what nobody answers, that nobody waits and sends any more: they need not
    /// have been told of it. Gives what they may still answer. Whoever calls this has the lock of
    /// the members, without which nobody bears the name next.
    pub(crate) fn close_calls(&self, gone: &Peer) -> OpenCalls {
        // Its driver may be in the middle of a turn.
        gone.voice.silence();
        let mut sent_to = Vec::new();
        if let Some(sender) = self.table.load().get(&gone.name).filter(|sender| sender.peer.id() == gone.id()) {
            sent_to = sender.receivers();
            // Nobody answers what never went.
            for (number, receiver) in sender.take_calls_back() {
                gone.drop_call(number, receiver);
            }
            sender.leave_lines(|receiver| self.exposers.member(receiver));
        }
        let mut calls = gone.close_calls(self.call_limit.as_ref());
        sent_to.extend(calls.receivers().filter(|receiver| calls.is_untold(*receiver)));
        sent_to.sort_unstable();
        sent_to.dedup();
        for receiver in sent_to.into_iter().filter_map(|receiver| self.exposers.member(receiver)) {
            if receiver.is_level_four() {
                self.tell_gone(gone, &receiver, &mut calls);
            }
        }
        calls
    }

    fn tell_gone(&self, gone: &Peer, receiver: &Peer, calls: &mut OpenCalls) {
        let number = if calls.is_untold(receiver.id()) { receiver.farewells.next() } else { 0 };
        let frame = CallerLeft::Told(number).frame(&gone.name, &receiver.name, &self.server.config.limits);
        // At most one for each of these calls and flows. One that has just gone needs none.
        let is_told = frame.is_ok_and(|frame| receiver.conn.send(Class::Terminal, &frame).is_ok());
        if number != 0 && is_told {
            calls.tell(receiver.id(), number);
        } else if number != 0 {
            receiver.farewells.take_answer();
        }
    }

    /// Keeps what receivers may still answer of a member that is gone, for whoever bears its name
    /// next.
    pub(crate) fn keep_calls(&self, gone: &Peer, calls: OpenCalls) {
        let receivers: Vec<_> = calls.receivers().collect();
        self.absent.lock().keep(&gone.name, calls, |receiver, words| {
            // Under the lock: whoever bears the name next sees it before its first call.
            if let Some(receiver) = self.exposers.member(receiver) {
                receiver.owe(words);
            }
        });
        // One that leaves at the same time has looked for what it may still answer before this was
        // kept, or does so behind this. It is withdrawn before it looks.
        for receiver in receivers.into_iter().filter(|receiver| self.exposers.member(*receiver).is_none()) {
            self.absent.lock().end_receiver(receiver);
        }
    }

    /// Hands on to `next` what receivers may still answer to its name. Each of them knows it from
    /// then on, for the time when it leaves itself.
    pub(crate) fn hand_on(&self, calls: OpenCalls, next: &Arc<Sender>) {
        let receivers: Vec<_> = calls.receivers().collect();
        next.peer.inherit(calls);
        for receiver in receivers {
            if !self.exposers.member(receiver).is_some_and(|receiver| receiver.remember(next)) {
                // It left meanwhile. Nobody waits for what it did not answer.
                drop(next.peer.end_calls_to(receiver));
            }
        }
    }

    /// `receiver` has said all that it will about the calls of which it was told by this number
    /// that their caller left: theirs are free for whoever bears that name next, or does by now.
    /// `false`: it has said all back that it was told.
    fn end_told(&self, caller: &str, number: u32, receiver: &Peer) -> bool {
        // Calls pass on under this lock, and are forgotten: this word is either owed or was said.
        let _members = self.members.lock();
        if !receiver.farewells.take_answer() {
            return false;
        }
        if !self.absent.lock().end_told(caller, number, receiver.id())
            && let Some(next) = self.table.load().get(caller)
        {
            next.peer.end_told(number, receiver.id());
        }
        if receiver.owed.is_owed(number) {
            self.take_owed(receiver);
        }
        true
    }

    /// An answer came to its end for which `caller` waits no more. `is_owed`: when it came, its
    /// receiver owed words, and nothing was known of the call.
    pub(crate) fn end_given_up(&self, caller: &Peer, number: CallId, (receiver, is_owed): (&Peer, bool)) {
        // The call may have been forgotten since, with all of a caller that left meanwhile.
        let may_be_owed = || is_owed || !receiver.is_level_four() && caller.has_closed_calls();
        if !self.end_unawaited(caller, number, receiver) && may_be_owed() {
            self.take_owed(receiver);
        }
    }

    /// `receiver` has said a word about calls that are forgotten.
    pub(crate) fn take_owed(&self, receiver: &Peer) {
        if receiver.owed.take_word() {
            tracing::info!(receiver = %Shown::name(&receiver.name), "it has answered what was forgotten, and gets calls again");
            // Whether or not calls wait: one that begins to may just have found it owing.
            if let Some(receiver) = self.exposers.member(receiver.id()) {
                self.waiting.ready.note(Sign::Exposes(receiver));
            }
        }
    }
}

impl Forwarder {
    /// Handles a CANCEL of this member that is about all calls of a caller. What it was not told,
    /// or has said before, is skipped.
    pub(crate) fn about_caller(&self, frame: &Frame) -> Result<(), Disconnected> {
        let (shared, me): (_, &Arc<Peer>) = (&self.shared, &self.me.peer);
        match CallerLeft::read(frame)? {
            Some(CallerLeft::Answered(number))
                if frame.is_from(&me.name)
                    && me.farewells.is_any()
                    && shared.end_told(frame.receiver(), number, me) => {}
            _ => {
                shared.counters.skipped_frames.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "departing_tests.rs"]
mod tests;
