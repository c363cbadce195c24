//! Large arguments and answers on their way through a Router: in parts to members that take parts,
//! and put together for nodes of 3.0.1, up to one frame.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use daffi_serde::RemoteError;
use daffi_wire::{CallId, Cancel, CancelReason, Data, DataEnd, Frame, NodeName, Shown};

use super::{
    delivering::tell_dropped,
    forward::Forwarder,
    uploads::{Upload, UploadPart},
};
use crate::{
    conn::{Class, DataFrom, Turn, Whose},
    data::{CallEnd, FlowError, Gathered, Gathering},
    error::Disconnected,
    refusal::Refusal,
    router::{Peer, RouterShared},
};

impl Forwarder {
    /// Puts the arguments of a call to a node of 3.0.1 together. The error is for the caller.
    pub(crate) fn upload(&self, receiver: &Peer, mut first: Frame, total: u64) -> Result<(), RemoteError> {
        let (shared, me) = (&self.shared, &self.me.peer);
        let fits = is_one_frame(&first, total, shared.server.config.limits.max_frame_bytes);
        if !fits {
            return Err(Refusal::LevelUnsupported.error(too_large_for(&receiver.name, "arguments", total)));
        }
        let (account, bytes) = (me.conn.data_account(), Gathering::first_bytes(&first));
        let Some(reserved) = account.try_charge(bytes, Instant::now()) else {
            let text = format!("{bytes} bytes of arguments found no room: {} may be held", account.share());
            return Err(Refusal::Overloaded.error(text));
        };
        let (id, method) = (first.header().id(), first.method().to_owned());
        let unreadable = |error| Refusal::ExtensionUnsupported.error(format!("it cannot be passed on: {error}"));
        let said = first.take_extensions().map_err(unreadable)?;
        tell_dropped(&said, me, receiver);
        let deadline = said.time_left_ms().map(|ms| tokio::time::Instant::now() + Duration::from_millis(ms.into()));
        let name = receiver.name.clone();
        // What follows names the receiver as this frame does.
        let to = if first.is_to("") { NodeName::empty() } else { name.clone() };
        let on_lost = {
            let (shared, me) = (Arc::downgrade(shared), Arc::downgrade(me));
            move |body: &Gathering| {
                let (Some(shared), Some(me)) = (shared.upgrade(), me.upgrade()) else { return };
                if me.end_upload(id, body) {
                    shared.refuse_call(&me, id, &name, &method, &broken_error(&FlowError::Stalled));
                }
            }
        };
        let whose = Whose { conn: me.id(), name: me.name.clone(), are_results: false };
        let end = self.end(&receiver.name, id, false);
        let body = Gathering::begin_for((whose, account), end, (first, total), reserved, on_lost);
        let body = body.map_err(|fault| broken_error(&fault))?;
        shared.forget_waiting_call(&self.me, id);
        let upload = Upload { receiver: receiver.id(), to, deadline, body: Arc::clone(&body) };
        if !me.begin_upload(id, upload) {
            return Err(Refusal::ReceiverNotFound.error(format!("{} has just left", me.name)));
        }
        // Behind its call, so that either its end finds that or this sees that it has ended.
        if !receiver.remember(&self.me) && me.end_upload(id, &body) {
            return Err(left_error(&receiver.name));
        }
        body.line_up();
        Ok(())
    }

    /// Handles DATA that is a part of arguments for a node of 3.0.1.
    pub(crate) fn upload_part(
        &mut self,
        UploadPart { body, deadline }: &UploadPart,
        data: Data,
        turn: &mut Turn,
    ) -> Result<(), Disconnected> {
        let id = data.id;
        match body.on_data(data)? {
            Gathered::Nothing => {}
            Gathered::Whole(whole, _room) => {
                let me = &self.me.peer;
                if !me.end_upload(id, body) {
                    return Ok(());
                }
                if deadline.is_some_and(|deadline| deadline <= tokio::time::Instant::now()) {
                    // Its receiver cannot know.
                    let text =
                        format!("{} did not run: its deadline passed before all arguments had come", whole.method());
                    let error = Refusal::DeadlineExceeded.error(text);
                    self.shared.refuse_call(me, id, body.in_place_of(), whole.method(), &error);
                } else {
                    self.request(whole, turn);
                }
            }
            Gathered::Broken(fault) => {
                let me = &self.me.peer;
                if me.end_upload(id, body) {
                    self.shared.refuse_call(me, id, body.in_place_of(), "", &broken_error(&fault));
                }
            }
        }
        Ok(())
    }

    /// The caller gives a call up whose arguments have not all come. `false`: there is none.
    pub(crate) fn cancel_upload(&self, frame: &Frame) -> bool {
        let (me, id) = (&self.me.peer, frame.header().id());
        let Some(UploadPart { body, .. }) = me.upload_of(frame) else { return false };
        if me.end_upload(id, &body) {
            let error = Refusal::Cancelled.error(format!("{} gave the call up before it had sent it", me.name));
            self.shared.refuse_call(me, id, body.in_place_of(), "", &error);
        }
        true
    }

    /// Passes a reply on that is the first part of a large answer.
    pub(crate) fn begin_answer(&mut self, frame: Frame, total: u64, caller: &Arc<Peer>, turn: &mut Turn) {
        let me = Arc::clone(&self.me.peer);
        let number = frame.header().id();
        turn.flush();
        if !caller.is_level_four() {
            return self.join_answer(frame, total, caller);
        }
        match caller.begin_answer(number, &me) {
            Ok(Some(id)) => {
                let first = if id == number { frame.clone() } else { frame.with_id(id) };
                if !caller.conn.forward(Class::Answer, &first).unwrap_or(true) {
                    caller.with_streams(|streams| streams.end(number));
                    self.lose(caller, number, &frame, total);
                }
            }
            // What follows is dropped.
            Ok(None) => {}
            Err(_no_room) => self.lose(caller, number, &frame, total),
        }
    }

    /// Puts an answer to a node of 3.0.1 together. It takes its place and its room from what that
    /// may have: who calls much takes nothing from other callers of the same worker.
    fn join_answer(&self, mut first: Frame, total: u64, caller: &Arc<Peer>) {
        let (number, me) = (first.header().id(), &self.me.peer);
        if !caller.may_join(number, me.id()) {
            // What follows is dropped, or is a part of what it was said of before.
            return;
        }
        if !is_one_frame(&first, total, self.shared.server.config.limits.max_frame_bytes) {
            let error = Refusal::LevelUnsupported.error(too_large_for(&caller.name, "an answer", total));
            return give_up(&self.shared, me, caller, (number, None), first.method(), &error);
        }
        let (method, account) = (first.method().to_owned(), caller.conn.data_account());
        let reserved = account.try_charge(Gathering::first_bytes(&first), Instant::now());
        let Some(reserved) = reserved else { return self.lose(caller, number, &first, total) };
        if let Err(error) = first.take_extensions() {
            let error = Refusal::ExtensionUnsupported.error(format!("the answer cannot be passed on: {error}"));
            return give_up(&self.shared, me, caller, (number, None), &method, &error);
        }
        let on_lost = {
            let (shared, me, caller) = (Arc::downgrade(&self.shared), Arc::downgrade(me), Arc::downgrade(caller));
            let method = method.clone();
            move |body: &Gathering| {
                let (Some(shared), Some(me), Some(caller)) = (shared.upgrade(), me.upgrade(), caller.upgrade()) else {
                    return;
                };
                give_up(&shared, &me, &caller, (number, Some(body)), &method, &broken_error(&FlowError::Stalled));
            }
        };
        let whose = Whose { conn: caller.id(), name: caller.name.clone(), are_results: true };
        let end = self.end(&caller.name, number, true);
        match Gathering::begin_for((whose, account), end, (first, total), reserved, on_lost) {
            Ok(body) => {
                if caller.join_answer(number, me.id(), &body) {
                    body.line_up();
                }
            }
            Err(fault) => give_up(&self.shared, me, caller, (number, None), &method, &broken_error(&fault)),
        }
    }

    /// Handles DATA that is a part of an answer for a node of 3.0.1.
    pub(crate) fn answer_part(
        &mut self,
        caller: &Arc<Peer>,
        body: &Gathering,
        data: Data,
        turn: &mut Turn,
    ) -> Result<(), Disconnected> {
        let (number, ends) = (data.id, data.end == DataEnd::Direction);
        match body.on_data(data)? {
            Gathered::Whole(whole, _room) => self.reply(&whole, turn),
            Gathered::Broken(fault) if !ends => {
                give_up(&self.shared, &self.me.peer, caller, (number, Some(body)), "", &broken_error(&fault));
            }
            Gathered::Broken(fault) => self.end_broken(caller, number, &fault),
            Gathered::Nothing if !ends => {}
            // It stood still for too long, of which nobody has been told yet.
            Gathered::Nothing => self.end_broken(caller, number, &FlowError::Stalled),
        }
        Ok(())
    }

    /// The last of an answer came, and it is of no use.
    fn end_broken(&self, caller: &Peer, number: CallId, fault: &FlowError) {
        let (shared, me) = (&self.shared, &self.me.peer);
        if let Some(id) = caller.drop_call(number, me.id()) {
            shared.refuse_answer(caller, id, &me.name, "", &broken_error(fault));
        }
    }

    /// There is no room for a large answer at its caller.
    fn lose(&self, caller: &Peer, number: CallId, first: &Frame, total: u64) {
        let bytes = usize::try_from(total).unwrap_or(usize::MAX);
        let error = caller.conn.outbox.lost_answer_error(first.method(), bytes, &caller.name);
        give_up(&self.shared, &self.me.peer, caller, (number, None), first.method(), &error);
    }

    /// The end of a call that the Router is in the place of `other`.
    fn end(&self, other: &NodeName, id: CallId, is_caller: bool) -> CallEnd {
        let me = &self.me.peer;
        CallEnd {
            conn: Arc::clone(&me.conn),
            me: other.clone(),
            other: me.name.clone(),
            id,
            is_caller,
            // Nothing goes from here.
            from: DataFrom::Own,
            limits: self.shared.server.config.limits,
        }
    }
}

impl RouterShared {
    /// There is no room at its caller for the first word of a stream.
    pub(crate) fn lose_stream(&self, caller: &Peer, number: CallId, receiver: &Peer, first: &Frame) {
        caller.with_streams(|streams| streams.end(number));
        let error = caller.conn.outbox.lost_answer_error(first.method(), first.as_bytes().len(), &caller.name);
        give_up(self, receiver, caller, (number, None), first.method(), &error);
    }
}

/// Ends a call of which the answer cannot be passed on, for both of its ends: the one that the
/// receiver knows under this number, and, if that is said, of which this body is put together. Its
/// number rests until the receiver has said its last.
pub(crate) fn give_up(
    shared: &RouterShared,
    receiver: &Peer,
    caller: &Peer,
    (number, body): (CallId, Option<&Gathering>),
    method: &str,
    error: &RemoteError,
) {
    let promise = caller.conn.promise_to_queue();
    let Some(id) = caller.give_up_answer(number, receiver.id(), body) else { return };
    shared.refuse_answer(caller, id, &receiver.name, method, error);
    drop(promise);
    let limits = &shared.server.config.limits;
    let cancel = Cancel { id: number, reason: CancelReason::Dropped };
    if let Ok(frame) = cancel.frame(&caller.name, &receiver.name, limits) {
        // One that has just left sends no more anyway, nor is it told so of a caller of whom it was
        // told that it has left.
        let _gone = caller.voice.speak(|| receiver.conn.send(Class::Terminal, &frame));
    }
}

/// What the caller hears of arguments that were put together for a receiver that is gone.
pub(crate) fn left_error(name: &NodeName) -> RemoteError {
    let text = format!("{} left before all arguments had come: it did not run", Shown::name(name));
    Refusal::ReceiverNotFound.error(text)
}

/// Whether the whole of it is one frame.
pub(crate) fn is_one_frame(first: &Frame, total: u64, most: usize) -> bool {
    let names = first.transmitter().len() + first.receiver().len() + first.method().len() + 2;
    total.saturating_add(names as u64) <= most as u64
}

fn too_large_for(name: &str, what: &str, total: u64) -> String {
    format!("{name} is a daffi 3.0.1 node, which takes {what} of one frame, and of no {total} bytes")
}

fn broken_error(fault: &FlowError) -> RemoteError {
    Refusal::BodyBroken.error(fault.to_string())
}
