//! The frames of one member on their way to others.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use daffi_serde::RemoteError;
use daffi_transport::Batch;
use daffi_wire::{CallId, Credit, Frame, InData, Kind, MethodName, Shown, StreamFlags};

use super::{
    Peer, RouterShared,
    bodies::Joins,
    counted::CountedAs,
    peer::CompletedCall,
    sender::Sender,
    streams::{self, NoStreamRoom},
};
use crate::{
    conn::{Class, Turn},
    error::{Disconnected, ProtocolError},
    recent::Recent,
    refusal::Refusal,
    server::Rights,
    session::{Denied, routing},
};

/// Bytes that are shown of a name that nobody bears: what a peer makes up is no reason to write
/// much.
const NAME: usize = 100;

/// The word that results follow is no longer than names and extensions of an honest node make it.
const MOST_OF_A_WORD: usize = 4 * 1024;

/// Forwards what one member sends, as long as it is allowed to.
pub(super) struct Forwarder {
    pub(super) shared: Arc<RouterShared>,
    pub(super) me: Arc<Sender>,
    routes: Recent<Route>,
    callers: Recent<Arc<Peer>>,
    pub(super) joins: Joins,
    pub(super) rights: Rights,
}

/// A callback of a member, as it stood in the table.
struct Route {
    receiver: Arc<Peer>,
    method: MethodName,
    counted: CountedAs,
    /// Which state of what the receiver exposes.
    exposed: u64,
}

impl Route {
    /// Whether it is still the one that `frame` asks for.
    fn fits(&self, frame: &Frame) -> bool {
        frame.is_to(&self.receiver.name)
            && frame.calls(&self.method)
            && self.receiver.is_named()
            && self.receiver.exposed_version() == self.exposed
    }
}

impl Forwarder {
    pub(super) fn new(shared: Arc<RouterShared>, me: Arc<Sender>, rights: Rights) -> Self {
        Self { shared, me, routes: Recent::default(), callers: Recent::default(), joins: Joins::default(), rights }
    }

    /// Whether what was found out of its rights still holds.
    pub(super) fn has_current_rights(&self) -> bool {
        self.rights.is_current(&self.shared.server.guard)
    }

    /// What this member may do, to find it out anew: what was found by it is forgotten.
    pub(super) fn rights_to_change(&mut self) -> &mut Rights {
        self.routes = Recent::default();
        &mut self.rights
    }

    /// Passes a frame of this member on.
    pub(super) fn pass(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected> {
        if !self.rights.is_current(&self.shared.server.guard) {
            self.renew_rights()?;
        }
        match frame.kind() {
            Kind::Request => self.request(frame, turn),
            Kind::Response if let Some(total) = self.body_follows(&frame) => self.large_reply(frame, total, turn),
            Kind::Response | Kind::Error => self.reply(&frame, turn),
            // Which links carry them the driver knows.
            Kind::Data | Kind::Credit | Kind::Cancel if frame.header().id() != CallId::NONE => {
                return self.about_call(frame, turn);
            }
            Kind::Credit => return self.credit(frame, turn),
            Kind::Ping => return self.me.peer.conn.answer_ping(&frame),
            Kind::Cancel | Kind::Data | Kind::Watch | Kind::Unknown(_) => {
                // Nothing of them is used yet, and who sends them may be newer than this node.
                self.shared.counters.skipped_frames.fetch_add(1, Ordering::Relaxed);
            }
            kind => return Err(ProtocolError::Direction(kind).into()),
        }
        Ok(())
    }

    /// Forwards a request, or answers it with an error.
    pub(super) fn request(&mut self, frame: Frame, turn: &mut Turn) {
        let Self { shared, me, routes, rights, .. } = self;
        me.peer.traffic.note_request();
        let (receiver, counted) = match route(shared, me, routes, rights, &frame) {
            Ok(route) => (&route.receiver, route.counted),
            Err(Unroutable::Refused(_)) if frame.is_from(&me.peer.name) && shared.tell_own(&me.peer.conn, &frame) => {
                return;
            }
            Err(Unroutable::Refused(error)) => return refuse_request(shared, &me.peer, &frame, &error),
            Err(Unroutable::Denied(denied)) => return self.deny_request(&frame, denied),
        };
        let (mut frame, mut streams) = (frame, None);
        if frame.header().has_extensions() {
            match asked(&frame, &me.peer, receiver) {
                Ok(asked) => streams = asked,
                Err(error) => return refuse_request(shared, &me.peer, &frame, &error),
            }
            if let Some(total) = streams.and_then(|says| says.body).filter(|_| !receiver.is_level_four()) {
                let (receiver, first) = (Arc::clone(receiver), frame.clone());
                if let Err(error) = self.join_request(&receiver, first, total) {
                    refuse_request(&self.shared, &self.me.peer, &frame, &error);
                }
                return;
            }
            match translate(&frame, &me.peer, receiver) {
                Ok(None) => {}
                Ok(Some(translated)) => frame = translated,
                Err(error) => return refuse_request(shared, &me.peer, &frame, &error),
            }
        }
        let in_step = shared.keep_in_step(&me.peer, receiver);
        if frame.header().wants_reply() {
            if !in_step {
                let error = Refusal::Overloaded.error(receiver.conn.outbox.crowd(&receiver.name));
                return refuse_request(shared, &me.peer, &frame, &error);
            }
            return call(shared, me, (receiver, counted), (&frame, streams), turn);
        }
        // Behind the calls that are gathered for the same receiver.
        turn.flush();
        if let Err(lost) = me.pass_nowait(receiver, frame, in_step) {
            drop_nowait(shared, &me.peer, &receiver.name, lost.reason());
        }
    }

    /// Handles frames that could not be queued, because the connection they were for had ended.
    pub(super) fn on_lost(&self, lost: Vec<(u64, Batch)>) {
        for (receiver, mut frames) in lost {
            while let Some(frame) = frames.next_frame() {
                self.on_lost_frame(receiver, frame);
            }
        }
    }

    fn on_lost_frame(&self, receiver: u64, frame: Bytes) {
        let Ok(frame) = Frame::from_message(frame, &self.shared.server.config.limits) else { return };
        if frame.kind() != Kind::Request {
            // A caller that has just gone needs no answer.
            return;
        }
        // The calls of that receiver may have been ended before this one was opened.
        if let Some(id) = self.me.peer.drop_call(frame.header().id(), receiver) {
            let error = Refusal::ReceiverGone.error(format!("{} has just left", frame.receiver()));
            self.shared.refuse_call(&self.me.peer, id, frame.receiver(), frame.method(), &error);
        }
    }

    /// Passes a reply on if it is the one that its receiver waits for.
    pub(super) fn reply(&mut self, frame: &Frame, turn: &mut Turn) {
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
                    let has_extensions = frame.header().has_extensions();
                    if has_extensions
                        && begins_stream(frame, me)
                        && caller.with_streams(|streams| streams.takes_results(number, me.id()))
                    {
                        return begin_stream(shared, frame, me, caller, turn);
                    }
                    if let Some(CompletedCall { id, note, streamed }) = caller.complete_call(number, me.id()) {
                        if let Some(note) = note {
                            let is_error = frame.kind() == Kind::Error;
                            me.traffic.note_answer(shared.callbacks.end(note, is_error, || turn.nanos()), is_error);
                        }
                        // It knew whom it called: an answer need not wait for other news.
                        shared.keep_in_step(me, caller);
                        let to = Asker { peer: caller, id, streamed };
                        if !has_extensions {
                            return to.answer(shared, me, frame, turn);
                        }
                        return match translate(frame, me, caller) {
                            Ok(translated) => to.answer(shared, me, translated.as_ref().unwrap_or(frame), turn),
                            Err(error) => shared.refuse_call(caller, id, &me.name, frame.method(), &error),
                        };
                    }
                }
                Err(()) => shared.absent.lock().complete(frame.receiver(), number, me.id()),
            }
        }
        shared.counters.dropped_replies.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(from = %Shown::new(&me.name), to = frame.receiver(), "dropped a reply that matches no open call");
    }

    /// All bytes of a large answer, of which a reply has the first part.
    pub(super) fn body_follows(&self, frame: &Frame) -> Option<u64> {
        if !frame.header().has_extensions() || !self.me.peer.is_level_four() {
            return None;
        }
        frame.in_data().ok().flatten().and_then(|says| says.body)
    }

    fn large_reply(&mut self, frame: Frame, total: u64, turn: &mut Turn) {
        let caller = self.shared.table.load().get(frame.receiver()).map(|found| Arc::clone(&found.peer));
        match caller.filter(|_| frame.is_from(&self.me.peer.name)) {
            Some(caller) => match self.rights.check_format(&frame, self.me.peer.conn.level(), caller.conn.level()) {
                Ok(()) => self.begin_answer(frame, total, &caller, turn),
                Err(denied) => self.deny_answer(&frame, &caller, denied),
            },
            // Its end is for a caller that is gone.
            None => drop(self.shared.counters.dropped_replies.fetch_add(1, Ordering::Relaxed)),
        }
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

/// A frame with extensions as it passes from the link of one member to that of another, where the
/// bit that says that they follow has another meaning. `None`: as it is.
fn translate(frame: &Frame, from: &Peer, to: &Peer) -> Result<Option<Frame>, RemoteError> {
    match (from.is_level_four(), to.is_level_four()) {
        (true, false) => {
            let unreadable = |error| Refusal::ExtensionUnsupported.error(format!("it cannot be passed on: {error}"));
            frame.clone().lowered().map(Some).map_err(unreadable)
        }
        (false, true) => Ok(Some(frame.clone().raised())),
        (true, true) | (false, false) => Ok(None),
    }
}

/// What a request with extensions says of arguments or results that come one by one. A block that
/// cannot be read is for its receiver to refuse.
fn asked(frame: &Frame, from: &Peer, to: &Peer) -> Result<Option<InData>, RemoteError> {
    if !from.is_level_four() {
        return Ok(None);
    }
    let says = frame.in_data().ok().flatten();
    if to.is_level_four() {
        return Ok(says);
    }
    if says.is_some_and(|says| says.stream.items_follow) {
        let text = format!("{} is a daffi 3.0.1 node, which takes no arguments one by one", to.name);
        return Err(Refusal::LevelUnsupported.error(text));
    }
    // Its one answer is one result.
    Ok(says.filter(|says| says.body.is_some()))
}

/// Whether a reply with extensions says that results follow.
pub(super) fn begins_stream(frame: &Frame, from: &Peer) -> bool {
    frame.kind() == Kind::Response
        && from.is_level_four()
        && frame.in_data().is_ok_and(|says| says.is_some_and(|says| says.stream.items_follow))
}

/// Tells the caller that results follow, once. What comes with that word, and should not, finds
/// room as an answer does or ends the call.
fn begin_stream(shared: &RouterShared, frame: &Frame, me: &Peer, caller: &Peer, turn: &mut Turn) {
    let Some(id) = caller.with_streams(|streams| streams.begin(frame.header().id(), me.id())) else { return };
    turn.flush();
    let class = if frame.as_bytes().len() > MOST_OF_A_WORD { Class::Answer } else { Class::Terminal };
    // A caller that has just gone needs no word.
    if !caller.conn.forward(class, &frame.with_id(id)).unwrap_or(true) {
        shared.lose_stream(caller, (id, frame.header().id()), me, frame);
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
        caller.conn.outbox.forget_data(key);
        return false;
    }
    drop(caller.conn.forward_data(key, frame));
    true
}

/// Why nobody gets a request.
enum Unroutable {
    Refused(RemoteError),
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
    routing::check_transmitter(frame, &me.name)?;
    if shared.server.is_stopping() {
        let text = format!("the router {} is stopping: {} did not run", shared.server.name, frame.method());
        return Err(Refusal::NodeStopping.error(text).into());
    }
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

fn look_up(shared: &RouterShared, sender: &Arc<Sender>, frame: &Frame) -> Result<Route, RemoteError> {
    let not_found = |text| Refusal::ReceiverNotFound.error(text);
    let table = shared.table.load();
    let Some(receiver) = table.get(frame.receiver()).map(|found| &found.peer) else {
        return Err(not_found(format!(
            "\"{}\" is not a member of this router",
            Shown::new(frame.receiver()).at_most(NAME)
        )));
    };
    // Before the look, so that a change after it is seen.
    let exposed = receiver.exposed_version();
    let Some(method) = receiver.callback(frame.method()) else {
        return Err(not_found(format!(
            "{} exposes no callback \"{}\"",
            receiver.name,
            Shown::new(frame.method()).at_most(NAME)
        )));
    };
    if !receiver.remember(sender) {
        return Err(Refusal::ReceiverGone.error(format!("{} has just left", receiver.name)));
    }
    let counted = shared.callbacks.find(&method, receiver);
    Ok(Route { receiver: Arc::clone(receiver), method, counted, exposed })
}

fn call(
    shared: &RouterShared,
    sender: &Sender,
    (receiver, counted): (&Arc<Peer>, CountedAs),
    (frame, streams): (&Frame, Option<InData>),
    turn: &mut Turn,
) {
    let (id, me) = (frame.header().id(), &sender.peer);
    if me.conn.outbox.is_full() {
        // What comes back must find room.
        let waiting = me.conn.outbox.bytes();
        let error = Refusal::Overloaded.error(format!("{waiting} bytes wait to be taken by the caller, {}", me.name));
        return shared.refuse_call(me, id, &receiver.name, frame.method(), &error);
    }
    // Open before it is sent: the answer may be quick. When the receiver ends, its outbox is closed
    // before its calls are ended, so either that ends this call or the queueing fails, of which
    // `on_lost` hears.
    let note = shared.callbacks.begin(counted, turn);
    let number = match me.open_call(id, receiver, note, shared.call_limit.as_ref()) {
        Ok(number) => number,
        Err(why) => {
            shared.callbacks.lose(&[note]);
            return shared.refuse_call(me, id, &receiver.name, frame.method(), &Refusal::Overloaded.error(why));
        }
    };
    if let Some(InData { stream, window, body }) = streams {
        let flags = StreamFlags { items_follow: stream.items_follow || body.is_some(), ..stream };
        let ends = (&*me.conn, &*receiver.conn, me.name.len() + receiver.name.len());
        if let Err(NoStreamRoom) = me.with_streams(|streams| streams.open((id, number), ends, flags, window)) {
            me.drop_call(number, receiver.id());
            let error = Refusal::Overloaded.error(format!(
                "there is no room for what a further call of {} to {} may have to wait in parts",
                me.name, receiver.name
            ));
            return shared.refuse_call(me, id, &receiver.name, frame.method(), &error);
        }
    }
    let passed = if number == id {
        sender.pass_call(receiver, frame, turn)
    } else {
        sender.pass_call(receiver, &frame.with_id(number), turn)
    };
    if passed {
        return;
    }
    let error = Refusal::Overloaded.error(receiver.conn.outbox.crowd(&receiver.name));
    if me.drop_call(number, receiver.id()).is_some() {
        shared.refuse_call(me, id, &receiver.name, frame.method(), &error);
    }
}

pub(super) fn refuse_request(shared: &RouterShared, me: &Peer, frame: &Frame, error: &RemoteError) {
    if frame.header().wants_reply() {
        shared.refuse_call(me, frame.header().id(), frame.receiver(), frame.method(), error);
    } else {
        drop_nowait(shared, me, frame.receiver(), &error.message);
    }
}

fn drop_nowait(shared: &RouterShared, me: &Peer, receiver: &str, reason: &str) {
    shared.counters.dropped_requests.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(sender = %Shown::new(&me.name), receiver, reason, "dropped a nowait request");
}
