//! The frames of one member on their way to others.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use daffi_serde::RemoteError;
use daffi_wire::{CallId, Credit, Frame, Kind, MethodName, Shown};

use super::{
    delivering::{JoinedFor, deliver, translate},
    member_calls::CompletedCall,
    streams,
};
use crate::{
    conn::{Class, Turn},
    error::{Disconnected, ProtocolError},
    recent::Recent,
    refusal::Refusal,
    router::{
        Peer, RouterShared,
        choosing::{KnownExposers, is_to_any},
        flow::sender::Sender,
        stats::counted::CountedAs,
        waiting::PatientCall,
    },
    server::Rights,
    session::{Denied, routing},
};

/// Bytes that are shown of a name that nobody bears: what a peer makes up is no reason to write
/// much.
pub(crate) const NAME: usize = 100;

/// Forwards what one member sends, as long as it is allowed to.
pub(crate) struct Forwarder {
    pub(crate) shared: Arc<RouterShared>,
    pub(crate) me: Arc<Sender>,
    pub(crate) routes: Recent<Route>,
    /// Who exposes the callbacks of which the Router chose a receiver of late.
    pub(crate) choices: Recent<KnownExposers>,
    callers: Recent<Arc<Peer>>,
    pub(crate) rights: Rights,
}

/// A callback of a member, as it stood in the table.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) receiver: Arc<Peer>,
    method: MethodName,
    pub(crate) counted: CountedAs,
    /// Which state of what the receiver exposes.
    exposed: u64,
}

impl Route {
    /// Whether it is still the one that `frame` asks for.
    fn fits(&self, frame: &Frame) -> bool {
        frame.is_to(&self.receiver.name) && self.is_current(frame)
    }

    /// Whether its receiver exposes the callback that `frame` asks for.
    pub(crate) fn is_current(&self, frame: &Frame) -> bool {
        frame.calls(&self.method) && self.receiver.is_named() && self.receiver.exposed_version() == self.exposed
    }
}

impl Forwarder {
    pub(crate) fn new(shared: Arc<RouterShared>, me: Arc<Sender>, rights: Rights) -> Self {
        Self { shared, me, routes: Recent::default(), choices: Recent::default(), callers: Recent::default(), rights }
    }

    /// Whether what was found out of its rights still holds.
    pub(crate) fn has_current_rights(&self) -> bool {
        self.rights.is_current(&self.shared.server.guard)
    }

    /// What this member may do, to find it out anew: what was found by it is forgotten.
    pub(crate) fn rights_to_change(&mut self) -> &mut Rights {
        self.routes = Recent::default();
        self.choices = Recent::default();
        &mut self.rights
    }

    /// Passes a frame of this member on.
    pub(crate) fn pass(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected> {
        if !self.rights.is_current(&self.shared.server.guard) {
            self.renew_rights()?;
        }
        match frame.kind() {
            Kind::Request => self.request(frame, turn),
            Kind::Response if let Some(begins) = self.begins(&frame) => self.begin_reply(frame, begins, turn),
            Kind::Response | Kind::Error => self.reply(&frame, turn),
            // Which links carry them the driver knows.
            Kind::Data | Kind::Credit | Kind::Cancel if frame.header().id() != CallId::NONE => {
                return self.about_call(frame, turn);
            }
            Kind::Credit => return self.credit(frame, turn),
            Kind::Ping if !frame.header().wants_reply() => self.me.peer.on_mark(&frame)?,
            Kind::Ping => return self.me.peer.conn.answer_ping(&frame),
            Kind::Cancel => return self.about_caller(&frame),
            Kind::Data | Kind::Unknown(_) => {
                // Nothing of them is used yet, and who sends them may be newer than this node.
                self.shared.counters.skipped_frames.fetch_add(1, Ordering::Relaxed);
            }
            kind => return Err(ProtocolError::Direction(kind).into()),
        }
        Ok(())
    }

    /// Forwards a request, or answers it with an error.
    pub(crate) fn request(&mut self, frame: Frame, turn: &mut Turn) {
        self.me.peer.traffic.note_request();
        self.pass_request(frame, true, turn);
    }

    /// Sends a call on that has waited for its turn, as if it came now.
    pub(crate) fn pass_waited(&mut self, call: &PatientCall, turn: &mut Turn) -> Result<(), Disconnected> {
        self.pass_request(call.frame.clone().with_less_time(call.since.elapsed()), false, turn);
        call.data.iter().try_for_each(|data| self.about_call(data.clone(), turn))
    }

    /// `waits_behind`: it is not before those that wait for the same callback, if it can wait.
    fn pass_request(&mut self, frame: Frame, waits_behind: bool, turn: &mut Turn) {
        let is_to_any = is_to_any(&frame, &self.me.peer);
        let found = if is_to_any {
            self.choose(&frame, turn)
        } else {
            let Self { shared, me, routes, rights, .. } = self;
            match route(shared, me, routes, rights, &frame) {
                Ok(route) => {
                    let joins = deliver(shared, me, (&route.receiver, route.counted), frame, turn);
                    if let Some(joins) = joins {
                        self.put_together(joins);
                    }
                    return;
                }
                Err(why) => Err(why),
            }
        };
        match found {
            Ok((ref receiver, _)) if (waits_behind || receiver.owed.is_any()) && self.waits(&frame, Some(receiver)) => {
            }
            Err(Unroutable::Nobody(_)) if self.waits(&frame, None) => {}
            // Each that was tried had just left, and another may come.
            Err(Unroutable::Gone(_)) if is_to_any && self.waits(&frame, None) => {}
            Ok((receiver, counted)) => {
                if let Some(joins) = deliver(&self.shared, &self.me, (&receiver, counted), frame, turn) {
                    self.put_together(joins);
                }
            }
            Err(why) => self.refuse_unroutable(&frame, why),
        }
    }

    /// Keeps a call that says that it waits, or refuses it. `false`: it does not wait.
    fn waits(&mut self, frame: &Frame, found: Option<&Arc<Peer>>) -> bool {
        match self.wait(frame, found) {
            None => return false,
            Some(Ok(())) => {}
            Some(Err(why)) => self.refuse_unroutable(frame, why),
        }
        true
    }

    /// Answers a request that nobody gets.
    #[cold]
    fn refuse_unroutable(&mut self, frame: &Frame, why: Unroutable) {
        match why {
            Unroutable::Denied(denied) => self.deny_request(frame, denied),
            Unroutable::Refused(error) | Unroutable::Gone(error) | Unroutable::Nobody(error) => {
                let (shared, me) = (&self.shared, &self.me);
                if !frame.is_from(&me.peer.name) || !shared.tell_own(&me.peer.conn, frame) {
                    refuse_request(shared, me, frame, &error);
                }
            }
        }
    }

    fn put_together(&self, JoinedFor { receiver, first, total }: JoinedFor) {
        if let Err(error) = self.upload(&receiver, first.clone(), total) {
            refuse_request(&self.shared, &self.me, &first, &error);
        }
    }

    /// Handles frames that could not be queued, because the connection they were for had ended.
    pub(crate) fn on_lost(&mut self, turn: &mut Turn) {
        for may_choose in [true, true, false] {
            let lost = turn.take_lost();
            if lost.is_empty() {
                return;
            }
            for (receiver, mut frames) in lost {
                while let Some(frame) = frames.next_frame() {
                    self.on_lost_frame(receiver, frame, may_choose.then_some(&mut *turn));
                }
            }
            turn.flush();
        }
    }

    /// `again`: where another receiver can be chosen for a call that never went.
    fn on_lost_frame(&mut self, receiver: u64, frame: Bytes, again: Option<&mut Turn>) {
        let (shared, me) = (&self.shared, &self.me.peer);
        let Ok(frame) = Frame::from_message(frame, &shared.server.config.limits) else { return };
        if frame.kind() != Kind::Request {
            // A caller that has just gone needs no answer.
            return;
        }
        let number = frame.header().id();
        let has_data = me.with_streams(|streams| streams.is_of(number, receiver));
        // The calls of that receiver may have been ended before this one was opened.
        let Some(id) = me.drop_call(number, receiver) else { return };
        match again.filter(|_| is_to_any(&frame, me) && !has_data) {
            Some(turn) => self.request(if id == number { frame } else { frame.with_id(id) }, turn),
            None => {
                // Of one that was chosen only this remembers who it was.
                let chosen = self.routes.find(|known| known.receiver.id() == receiver);
                let name = chosen.map_or(frame.receiver(), |known| &known.receiver.name);
                let who = if name.is_empty() { "the member that was chosen" } else { name };
                let error = Refusal::ReceiverNotFound.error(format!("{who} has just left: it did not run"));
                shared.refuse_call(me, id, name, frame.method(), &error);
            }
        }
    }

    /// Passes a reply on that ends its call, if its receiver waits for it.
    pub(crate) fn reply(&mut self, frame: &Frame, turn: &mut Turn) {
        let Self { shared, callers, rights, .. } = self;
        let me = &*self.me.peer;
        let number = frame.header().id();
        if frame.is_from(&me.name) {
            let find = || shared.table.load().get(frame.receiver()).map(|found| Arc::clone(&found.peer)).ok_or(());
            match callers.get_or_find(|known| frame.is_to(&known.name) && known.is_named(), find) {
                Ok(caller) => {
                    if let Err(denied) = rights.check_format(frame, me.conn.level(), caller.conn.level()) {
                        let caller = Arc::clone(caller);
                        return self.deny_answer(frame, &caller, denied);
                    }
                    // Before the call is complete: a Router that stops waits for open calls, and
                    // for promises.
                    turn.promise(&caller.conn);
                    let is_as_it_is = frame.kind() == Kind::Response && !frame.header().has_extensions();
                    let is_owed = me.owes_answer(caller, number);
                    if let Some(CompletedCall { id, note, streamed }) = caller.complete_call(number, me.id()) {
                        if let Some(note) = note {
                            caller.asking.note_answer();
                            let is_error = frame.kind() == Kind::Error;
                            me.traffic.note_answer(shared.callbacks.end(note, is_error, || turn.nanos()), is_error);
                            match is_error {
                                true => me.load.note_error(turn.nanos()),
                                false => me.load.note_answer(|| turn.nanos()),
                            }
                        }
                        // It knew whom it called: an answer need not wait for other news.
                        shared.keep_in_step(me, caller);
                        let to = Asker { peer: caller, id, streamed };
                        if is_as_it_is {
                            return to.answer(shared, me, frame, turn);
                        }
                        return match translate(frame, me, caller, shared) {
                            Ok(translated) => to.answer(shared, me, translated.as_ref().unwrap_or(frame), turn),
                            Err(error) => shared.refuse_answer(caller, id, &me.name, frame.method(), &error),
                        };
                    }
                    // Of a call that was given up.
                    shared.end_given_up(caller, number, (me, is_owed));
                }
                Err(()) => {
                    if !shared.complete_absent(frame.receiver(), number, me) && !me.is_level_four() {
                        shared.take_owed(me);
                    }
                }
            }
        }
        shared.note_dropped_reply(me, frame);
    }

    /// Handles a CREDIT frame of this member, which begins a flow or takes more of one.
    fn credit(&self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected> {
        let says = Credit::read(&frame)?;
        let table = self.shared.table.load();
        let Some(other) = table.get(frame.receiver()).filter(|_| frame.is_from(&self.me.peer.name)) else {
            return Ok(());
        };
        match says {
            Credit::Begins(flow) => {
                turn.flush();
                // What the receiver is told of one that bore this name before ends that one's flow,
                // not this.
                let in_step = self.shared.keep_in_step(&self.me.peer, &other.peer);
                self.me.on_begin(&other.peer, flow, frame, in_step);
            }
            Credit::Grants(grant) => other.on_grant(&self.me.peer, grant),
        }
        Ok(())
    }
}

/// A member that waits for an answer, and its number of the call.
#[derive(Clone, Copy)]
struct Asker<'a> {
    peer: &'a Arc<Peer>,
    id: CallId,
    /// A part of the call passed in DATA.
    streamed: bool,
}

impl Asker<'_> {
    /// Passes the answer of `me` on, under that number.
    fn answer(self, shared: &RouterShared, me: &Peer, frame: &Frame, turn: &mut Turn) {
        let Self { peer, id, streamed } = self;
        let passed = if streamed {
            end_stream(frame, me, (peer, id), turn)
        } else if id == frame.header().id() {
            turn.forward(&peer.conn, Class::Answer, frame)
        } else {
            turn.forward(&peer.conn, Class::Answer, &frame.with_id(id))
        };
        if !passed {
            shared.lose_answer(peer, id, &me.name, frame);
        }
    }
}

/// Passes the reply that ends a call behind the DATA of it. `false`: there is no room for it.
fn end_stream(frame: &Frame, me: &Peer, (caller, id): (&Peer, CallId), turn: &mut Turn) -> bool {
    turn.flush();
    let key = streams::key(me.id(), id, false);
    if !caller.conn.outbox.admits(Class::Answer, frame.as_bytes().len()) {
        caller.conn.forget_data(key);
        return false;
    }
    drop(caller.conn.forward_data(key, frame, 0));
    true
}

/// Why nobody gets a request.
#[derive(Debug)]
pub(crate) enum Unroutable {
    Refused(RemoteError),
    /// The receiver that was found has just left, or exposes the callback no more.
    Gone(RemoteError),
    /// Of those whom the Router could choose there is none who can read it.
    Nobody(RemoteError),
    /// By the policy.
    Denied(Denied),
}

impl From<RemoteError> for Unroutable {
    fn from(error: RemoteError) -> Self {
        Self::Refused(error)
    }
}

impl From<Denied> for Unroutable {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

/// Gives who gets a request, or why nobody does.
fn route<'r>(
    shared: &RouterShared,
    sender: &Arc<Sender>,
    routes: &'r mut Recent<Route>,
    rights: &Rights,
    frame: &Frame,
) -> Result<&'r Route, Unroutable> {
    let me = &sender.peer;
    check_sender(shared, me, frame)?;
    let find = || {
        // First, so that nobody learns what there is that he may not call.
        rights.check_call(frame)?;
        look_up(shared, sender, frame).map_err(Unroutable::from)
    };
    let route = routes.get_or_find(|known| known.fits(frame), find)?;
    let receiver = &route.receiver;
    rights.check_format(frame, me.conn.level(), receiver.conn.level())?;
    routing::check_receiver(frame, me.conn.level(), &receiver.name, receiver.conn.level())?;
    Ok(route)
}

/// Whether a request is that of its sender, and new ones are still taken.
pub(crate) fn check_sender(shared: &RouterShared, me: &Peer, frame: &Frame) -> Result<(), RemoteError> {
    routing::check_transmitter(frame, &me.name)?;
    if shared.server.is_stopping() && !me.conn.takes_last_calls() {
        let text = format!("the router {} is stopping: {} did not run", shared.server.name, frame.method());
        return Err(Refusal::NodeStopping.error(text));
    }
    Ok(())
}

fn look_up(shared: &RouterShared, sender: &Arc<Sender>, frame: &Frame) -> Result<Route, RemoteError> {
    let table = shared.table.load();
    let Some(receiver) = table.get(frame.receiver()).map(|found| &found.peer) else {
        return Err(Refusal::ReceiverNotFound
            .error(format!("\"{}\" is not a member of this router", Shown::name(frame.receiver()).at_most(NAME))));
    };
    route_to(shared, sender, receiver, frame.method())
}

/// The way to a callback of a member, which remembers from then on that `sender` calls it.
pub(crate) fn route_to(
    shared: &RouterShared,
    sender: &Arc<Sender>,
    receiver: &Arc<Peer>,
    method: &str,
) -> Result<Route, RemoteError> {
    // Before the look, so that a change after it is seen.
    let exposed = receiver.exposed_version();
    let Some(method) = receiver.callback(method) else {
        return Err(Refusal::ReceiverNotFound.error(format!(
            "{} exposes no callback \"{}\"",
            receiver.name,
            Shown::name(method).at_most(NAME)
        )));
    };
    if !receiver.remember(sender) {
        return Err(Refusal::ReceiverNotFound.error(format!("{} has just left: it did not run", receiver.name)));
    }
    let counted = shared.callbacks.find(&method, receiver);
    Ok(Route { receiver: Arc::clone(receiver), method, counted, exposed })
}

pub(crate) fn refuse_request(shared: &RouterShared, me: &Arc<Sender>, frame: &Frame, error: &RemoteError) {
    if frame.header().wants_reply() {
        shared.refuse_call(&me.peer, frame.header().id(), frame.receiver(), frame.method(), error);
    } else {
        drop_nowait(shared, &me.peer, frame.receiver(), &error.message);
        if frame.is_from(&me.peer.name)
            && let Some(receiver) = shared.table.load().get(frame.receiver())
        {
            me.note_dropped(&receiver.peer, me.cost_of(frame));
        }
    }
}

pub(crate) fn drop_nowait(shared: &RouterShared, me: &Peer, receiver: &str, reason: &str) {
    shared.counters.dropped_requests.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(sender = %Shown::name(&me.name), receiver = %Shown::name(receiver), reason, "dropped a nowait request");
}
