//! Large arguments and answers on their way through a Router: in parts to members that take parts,
//! and put together for nodes of 3.0.1, up to one frame.

use std::{sync::Arc, time::Instant};

use daffi_serde::RemoteError;
use daffi_wire::{CallId, Cancel, CancelReason, Data, DataEnd, Frame, Kind, Limits, NodeName};

use super::{Peer, RouterShared, forward::Forwarder};
use crate::{
    conn::{Class, Turn},
    data::{CallEnd, FlowError, Gathered, Gathering},
    error::Disconnected,
    keyed::ByName,
    refusal::Refusal,
};

/// Bodies of one member that are put together for nodes of 3.0.1.
#[derive(Debug, Default)]
pub(super) struct Joins {
    joins: ByName<JoinKey, Arc<Gathering>>,
    /// With so many it is time to look for those that have ended.
    tidy_at: usize,
}

/// The other end of the call, its number as the member knows it, and whether the member is its
/// caller.
type JoinKey = (NodeName, CallId, bool);

impl Joins {
    /// The one that DATA, or a CANCEL, of the member is about.
    fn get(&self, frame: &Frame, limits: &Limits) -> Option<(JoinKey, Arc<Gathering>)> {
        if self.joins.is_empty() {
            return None;
        }
        let other = NodeName::new(frame.receiver(), limits).ok()?;
        let key = (other, frame.header().id(), frame.header().wants_reply());
        let join = self.joins.get(&key).map(Arc::clone)?;
        Some((key, join))
    }

    fn enter(&mut self, key: JoinKey, join: Arc<Gathering>) {
        if self.joins.len() >= self.tidy_at {
            self.joins.retain(|_, join| !join.has_ended());
            self.tidy_at = 2 * self.joins.len() + 8;
        }
        if let Some(before) = self.joins.insert(key, join) {
            before.close();
        }
    }

    fn len(&self) -> usize {
        self.joins.len()
    }
}

impl Drop for Joins {
    fn drop(&mut self) {
        // Whoever waits for room may still remember them.
        self.joins.values().for_each(|join| join.close());
    }
}

impl Forwarder {
    /// Puts the arguments of a call to a node of 3.0.1 together. The error is for the caller.
    pub(super) fn join_request(&mut self, receiver: &Peer, mut first: Frame, total: u64) -> Result<(), RemoteError> {
        let (shared, me) = (Arc::clone(&self.shared), Arc::clone(&self.me.peer));
        let fits = fits(&first, total, shared.server.config.limits.max_frame_bytes);
        if !fits {
            return Err(Refusal::LevelUnsupported.error(too_large_for(&receiver.name, "arguments", total)));
        }
        let most = shared.server.config.max_streams;
        if self.joins.len() >= most {
            let text =
                format!("{} has {most} calls open of which the arguments come in parts, which is the most", me.name);
            return Err(Refusal::Overloaded.error(text));
        }
        let (account, bytes) = (me.conn.data_account(), Gathering::first_bytes(&first));
        let Some(reserved) = account.try_charge(bytes, Instant::now()) else {
            let text = format!("{bytes} bytes of arguments found no room: {} may be held", account.share());
            return Err(Refusal::Overloaded.error(text));
        };
        let (id, method) = (first.header().id(), first.method().to_owned());
        let unreadable = |error| Refusal::ExtensionUnsupported.error(format!("it cannot be passed on: {error}"));
        first.take_extensions().map_err(unreadable)?;
        let (name, other) = (receiver.name.clone(), receiver.name.clone());
        let on_lost = {
            let (shared, me) = (Arc::downgrade(&shared), Arc::downgrade(&me));
            move || {
                let (Some(shared), Some(me)) = (shared.upgrade(), me.upgrade()) else { return };
                shared.refuse_call(&me, id, &name, &method, &broken(&FlowError::Stalled));
            }
        };
        let end = self.end(&other, id, false);
        let join = Gathering::begin(end, (first, total), reserved, on_lost).map_err(|fault| broken(&fault))?;
        self.joins.enter((other, id, true), Arc::clone(&join));
        join.line_up();
        Ok(())
    }

    /// Passes a reply on that is the first part of a large answer.
    pub(super) fn begin_answer(&mut self, frame: Frame, total: u64, caller: &Arc<Peer>, turn: &mut Turn) {
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
                    self.lose(caller, (id, number), &frame, total);
                }
            }
            // What follows is dropped.
            Ok(None) => {}
            Err((id, _no_room)) => self.lose(caller, (id, number), &frame, total),
        }
    }

    /// Puts an answer to a node of 3.0.1 together.
    fn join_answer(&mut self, mut first: Frame, total: u64, caller: &Arc<Peer>) {
        let (number, me) = (first.header().id(), Arc::clone(&self.me.peer));
        let Some(id) = caller.awaits(number, me.id()) else { return };
        if !fits(&first, total, self.shared.server.config.limits.max_frame_bytes) {
            let text = too_large_for(&caller.name, "an answer", total);
            let error = Refusal::LevelUnsupported.error(text);
            return give_up(&self.shared, &me, caller, (id, number), first.method(), &error);
        }
        let method = first.method().to_owned();
        let reserved = me.conn.data_account().try_charge(Gathering::first_bytes(&first), Instant::now());
        let Some(reserved) = reserved else { return self.lose(caller, (id, number), &first, total) };
        if first.take_extensions().is_err() {
            return;
        }
        let on_lost = {
            let (shared, me, caller) = (Arc::downgrade(&self.shared), Arc::downgrade(&me), Arc::downgrade(caller));
            let method = method.clone();
            move || {
                let (Some(shared), Some(me), Some(caller)) = (shared.upgrade(), me.upgrade(), caller.upgrade()) else {
                    return;
                };
                give_up(&shared, &me, &caller, (id, number), &method, &broken(&FlowError::Stalled));
            }
        };
        match Gathering::begin(self.end(&caller.name, number, true), (first, total), reserved, on_lost) {
            Ok(join) => {
                self.joins.enter((caller.name.clone(), number, false), Arc::clone(&join));
                join.line_up();
            }
            Err(fault) => give_up(&self.shared, &me, caller, (id, number), &method, &broken(&fault)),
        }
    }

    /// Handles DATA of this member that is a part of a body for a node of 3.0.1. `None`: it is not.
    pub(super) fn join(&mut self, frame: &Frame, turn: &mut Turn) -> Result<Option<bool>, Disconnected> {
        let Some((key, join)) = self.joins.get(frame, &self.shared.server.config.limits) else {
            return Ok(None);
        };
        let data = Data::read(frame.clone())?;
        let ends = data.end == DataEnd::Direction;
        let gathered = join.on_data(data)?;
        if ends || !matches!(gathered, Gathered::Nothing) {
            self.joins.joins.remove(&key);
        }
        match gathered {
            Gathered::Nothing => {}
            Gathered::Whole(whole, _room) if whole.kind() == Kind::Request => self.request(whole, turn),
            Gathered::Whole(whole, _room) => self.reply(&whole, turn),
            Gathered::Broken(fault) => self.refuse_join(&key, &broken(&fault)),
        }
        Ok(Some(true))
    }

    /// A body for a node of 3.0.1 comes to nothing.
    fn refuse_join(&self, (other, id, is_request): &JoinKey, error: &RemoteError) {
        let (shared, me) = (&self.shared, &self.me.peer);
        if *is_request {
            return shared.refuse_call(me, *id, other, "", error);
        }
        let caller = shared.table.load().get(other.as_str()).map(|found| Arc::clone(&found.peer));
        if let Some(caller) = caller
            && let Some(own) = caller.awaits(*id, me.id())
        {
            give_up(shared, me, &caller, (own, *id), "", error);
        }
    }

    /// The caller gives a call up whose arguments have not all come. `false`: there is none.
    pub(super) fn cancel_join(&mut self, frame: &Frame) -> bool {
        let Some((key, join)) = self.joins.get(frame, &self.shared.server.config.limits) else {
            return false;
        };
        self.joins.joins.remove(&key);
        join.close();
        let error = Refusal::Cancelled.error(format!("{} gave the call up before it had sent it", self.me.peer.name));
        self.refuse_join(&key, &error);
        true
    }

    /// There is no room for a large answer at its caller.
    fn lose(&self, caller: &Arc<Peer>, ids: (CallId, CallId), first: &Frame, total: u64) {
        let bytes = usize::try_from(total).unwrap_or(usize::MAX);
        let error = caller.conn.outbox.lost_answer(first.method(), bytes, &caller.name);
        give_up(&self.shared, &self.me.peer, caller, ids, first.method(), &error);
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
            limits: self.shared.server.config.limits,
        }
    }
}

impl RouterShared {
    /// There is no room at its caller for the first word of a stream.
    pub(super) fn lose_stream(&self, caller: &Peer, (id, number): (CallId, CallId), receiver: &Peer, first: &Frame) {
        caller.with_streams(|streams| streams.end(number));
        let error = caller.conn.outbox.lost_answer(first.method(), first.as_bytes().len(), &caller.name);
        give_up(self, receiver, caller, (id, number), first.method(), &error);
    }
}

/// Ends a call of which the answer cannot be passed on, for both of its ends. Its number rests
/// until the receiver has said its last.
pub(super) fn give_up(
    shared: &RouterShared,
    receiver: &Peer,
    caller: &Peer,
    (id, number): (CallId, CallId),
    method: &str,
    error: &RemoteError,
) {
    let promise = caller.conn.promise_to_queue();
    caller.give_up_call(id);
    shared.refuse_call(caller, id, &receiver.name, method, error);
    drop(promise);
    let limits = &shared.server.config.limits;
    let cancel = Cancel { id: number, reason: CancelReason::Dropped };
    if let Ok(frame) = cancel.frame(&caller.name, &receiver.name, limits) {
        // One that has just left sends no more anyway.
        drop(receiver.conn.send(Class::Terminal, &frame));
    }
}

/// Whether the whole of it is one frame.
fn fits(first: &Frame, total: u64, most: usize) -> bool {
    let names = first.transmitter().len() + first.receiver().len() + first.method().len() + 2;
    total.saturating_add(names as u64) <= most as u64
}

fn too_large_for(name: &str, what: &str, total: u64) -> String {
    format!("{name} is a daffi 3.0.1 node, which takes {what} of one frame, and of no {total} bytes")
}

fn broken(fault: &FlowError) -> RemoteError {
    Refusal::BodyBroken.error(fault.to_string())
}
