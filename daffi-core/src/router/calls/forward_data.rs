//! What members say of open calls beside requests and replies: DATA, CREDIT and CANCEL.

use std::sync::{Arc, atomic::Ordering};

use daffi_wire::{CallCredit, CallId, Cancel, CancelReason, Data, DataEnd, Frame, Kind};

use super::{
    forward::Forwarder,
    streams::{Passage, ResultWay, key},
};
use crate::{
    conn::{Class, DataFrom, Turn, nanos},
    data::{CallEnd, Grants},
    error::Disconnected,
    refusal::Refusal,
    router::{Peer, stats::counted::now},
};

impl Forwarder {
    /// Handles DATA, CREDIT or CANCEL of this member. What is about no open call of it is skipped.
    pub(crate) fn about_call(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected> {
        let from_caller = frame.header().wants_reply();
        let passed = if !frame.is_from(&self.me.peer.name) || !frame.method().is_empty() {
            // A name of no use would travel for nothing.
            false
        } else {
            // What was gathered for the other end comes first: it may begin the call, or its
            // results.
            turn.flush();
            match (frame.kind(), from_caller) {
                (Kind::Data, true) => self.item(frame, turn)?,
                (Kind::Data, false) => self.result(frame, turn)?,
                (Kind::Credit, true) => self.grant_results(&frame)?,
                (Kind::Credit, false) => self.grant_items(&frame)?,
                (_, true) => self.cancel_upload(&frame) || self.cancel(&frame)?,
                (_, false) => self.stop_items(&frame)?,
            }
        };
        self.note_skipped(!passed);
        Ok(())
    }

    /// Its terminal is on the way, or it was told before, or it is another's.
    fn note_skipped(&self, skipped: bool) {
        self.shared.counters.skipped_frames.fetch_add(u64::from(skipped), Ordering::Relaxed);
    }

    fn item(&mut self, frame: Frame, turn: &mut Turn) -> Result<bool, Disconnected> {
        let data = Data::read(frame.clone())?;
        if let Some(part) = self.me.peer.upload_of(&frame) {
            return self.upload_part(&part, data, turn).map(|()| true);
        }
        let me = &*self.me.peer;
        if self.wait_with_data(&frame, &data)? {
            return Ok(true);
        }
        let ends = data.end == DataEnd::Direction;
        let passage = me.with_streams(|streams| streams.pass_item(data.id, data.cost(), ends))?;
        let Some(to) = passage else { return Ok(false) };
        let Some(receiver) = self.receiver(&frame, to) else { return Ok(false) };
        if self.me.hold_data(to.receiver, to.id, &frame) {
            return Ok(true);
        }
        // A connection that has just ended takes nothing.
        drop(me.queue_item(&receiver.conn, to.id, (&frame, data.cost())));
        Ok(true)
    }

    fn result(&mut self, frame: Frame, turn: &mut Turn) -> Result<bool, Disconnected> {
        let me = &*self.me.peer;
        let data = Data::read(frame.clone())?;
        let (number, ends) = (data.id, data.end == DataEnd::Direction);
        let Some(caller) = self.member(frame.receiver()) else {
            if ends {
                self.shared.complete_absent(frame.receiver(), number, me);
            }
            return Ok(false);
        };
        let _promise = ends.then(|| caller.conn.promise_to_queue());
        let cost = data.cost();
        let way = caller.with_streams(|streams| streams.pass_result(number, me.id(), cost))?;
        let passage = match way {
            ResultWay::Joins(body) => return self.answer_part(&caller, &body, data, turn).map(|()| true),
            ResultWay::Passes(to) => Some(to),
            ResultWay::Nowhere => None,
        };
        let completed = if ends { self.end_stream(&caller, number) } else { None };
        if ends && completed.is_none() {
            self.shared.end_unawaited(&caller, number, me);
        }
        let Some(to) = passage else {
            // The caller waits for the end alone.
            return Ok(completed.is_some_and(|id| {
                let end = Data { id, bytes: bytes::Bytes::new(), packed: false, ..data };
                let frame = end.frame(&me.name, &caller.name, &self.shared.server.config.limits);
                frame.is_ok_and(|frame| caller.conn.forward_data(key(me.id(), id, false), &frame, 0).is_ok())
            }));
        };
        drop(caller.conn.forward_data(key(me.id(), to.id, false), &frame, cost));
        Ok(true)
    }

    fn grant_results(&self, frame: &Frame) -> Result<bool, Disconnected> {
        let (me, credit) = (&*self.me.peer, CallCredit::read(frame)?);
        // In this order: what waits has passed, and is still waiting or was written.
        let unwritten = |to: Passage| me.conn.outbox.unwritten_cost(key(to.receiver, credit.id(), false));
        Ok(me.with_streams(|streams| {
            streams.grant_results(credit, unwritten, |to| {
                let receiver = self.receiver(frame, to)?;
                Some(Grants::new(self.grants_to(&receiver, to, true), Some(Arc::clone(&me.voice))))
            })
        })?)
    }

    fn grant_items(&self, frame: &Frame) -> Result<bool, Disconnected> {
        let (me, credit) = (&*self.me.peer, CallCredit::read(frame)?);
        let table = self.shared.table.load();
        let Some(caller) = table.get(frame.receiver()) else { return Ok(false) };
        let is_held = caller.holds_call(me.id(), credit.id());
        let caller = &caller.peer;
        let unwritten = || match is_held {
            // It has not even got the call.
            true => u64::MAX,
            false => me.conn.outbox.unwritten_cost(key(caller.id(), credit.id(), true)),
        };
        let pass = |to| Some(Grants::new(self.grants_to(caller, to, false), None));
        Ok(caller.with_streams(|streams| streams.grant_items(credit, me.id(), unwritten, pass))?)
    }

    /// What this member grants `to` send of a call.
    fn grants_to(&self, to: &Peer, passage: Passage, is_caller: bool) -> CallEnd {
        CallEnd {
            conn: Arc::clone(&to.conn),
            me: self.me.peer.name.clone(),
            other: to.name.clone(),
            id: passage.id,
            is_caller,
            // Nothing else goes by this.
            from: DataFrom::Own,
            limits: self.shared.server.config.limits,
        }
    }

    /// The receiver of the call hears that its caller gave it up, or is spared it if it could not
    /// read it.
    fn cancel(&self, frame: &Frame) -> Result<bool, Disconnected> {
        let (shared, me, id) = (&self.shared, &*self.me.peer, Cancel::read(frame)?.id);
        if self.stop_waiting(id) {
            return Ok(true);
        }
        let Some((number, receiver)) = me.cancel_call(id) else { return Ok(false) };
        me.with_streams(|streams| streams.give_up(id));
        let Some(receiver) = self.receiver(frame, Passage { id: number, receiver }) else { return Ok(false) };
        if self.me.take_back(receiver.id(), number) {
            me.complete_call(number, receiver.id());
            let text = format!("{} gave the call up before it went to {}", me.name, receiver.name);
            shared.refuse_call(me, id, &receiver.name, "", &Refusal::Cancelled.error(text));
            return Ok(true);
        }
        if receiver.is_level_four() {
            let said = me.voice.speak(|| receiver.conn.send(Class::Terminal, &frame.with_id(number)).is_ok());
            return Ok(said == Some(true));
        }
        me.give_up_call(id);
        let error = Refusal::Cancelled.error(format!("{} gave the call up; {} was not told", me.name, receiver.name));
        shared.refuse_call(me, id, &receiver.name, "", &error);
        Ok(true)
    }

    /// The caller hears that this member wants no more items.
    fn stop_items(&self, frame: &Frame) -> Result<bool, Disconnected> {
        let Cancel { id: number, reason } = Cancel::read(frame)?;
        debug_assert_eq!(reason, CancelReason::EnoughItems, "the only one of a callee");
        let me = &*self.me.peer;
        let Some(caller) = self.member(frame.receiver()) else { return Ok(false) };
        let Some(id) = caller.with_streams(|streams| streams.stop_items(number, me.id())) else { return Ok(false) };
        Ok(caller.conn.send(Class::Terminal, &frame.with_id(id)).is_ok())
    }

    /// The last of the results of a call of `caller` came. Gives the caller's number.
    fn end_stream(&self, caller: &Peer, number: CallId) -> Option<CallId> {
        let me = &self.me.peer;
        if !caller.with_streams(|streams| streams.is_of(number, me.id())) {
            return None;
        }
        let completed = caller.complete_call(number, me.id())?;
        if let Some(note) = completed.note {
            caller.asking.note_answer();
            me.load.note_answer(|| nanos(now()));
            me.traffic.note_answer(self.shared.callbacks.end(note, false, || nanos(now())), false);
        }
        Some(completed.id)
    }

    fn member(&self, name: &str) -> Option<Arc<Peer>> {
        self.shared.table.load().get(name).map(|found| Arc::clone(&found.peer))
    }

    /// The receiver of an open call, if it still bears its name. Frames about a call whose receiver
    /// the Router chose name none.
    fn receiver(&self, frame: &Frame, to: Passage) -> Option<Arc<Peer>> {
        if frame.is_to("") {
            return self.shared.exposers.member(to.receiver);
        }
        self.member(frame.receiver()).filter(|peer| peer.id() == to.receiver)
    }
}

#[cfg(test)]
#[path = "forward_data_tests.rs"]
mod tests;
