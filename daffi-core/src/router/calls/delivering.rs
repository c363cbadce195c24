//! A request on its way from the Router to its receiver.

use std::sync::Arc;

use daffi_serde::RemoteError;
use daffi_wire::{CallId, ExtensionError, Extensions, Frame, InData, Kind, Shown, StreamFlags};

use super::{
    forward::{drop_nowait, refuse_request},
    streams::NoStreamRoom,
};
use crate::{
    conn::Turn,
    refusal::{AS_A_LIST, Refusal},
    router::{Peer, RouterShared, flow::sender::Sender, stats::counted::CountedAs},
    session::CallNote,
};

/// A node of level 3 for which the parts of a large body are put together.
pub(crate) struct JoinedFor {
    pub(crate) receiver: Arc<Peer>,
    pub(crate) first: Frame,
    pub(crate) total: u64,
}

/// Forwards a request to its receiver, or answers it with an error. Gives for whom its body has to
/// be put together first, if for anybody.
pub(crate) fn deliver(
    shared: &RouterShared,
    me: &Arc<Sender>,
    (receiver, counted): (&Arc<Peer>, CountedAs),
    mut frame: Frame,
    turn: &mut Turn,
) -> Option<JoinedFor> {
    // Before it changes on the way: a request costs the same at every hop.
    let cost = if frame.header().wants_reply() { 0 } else { me.cost_of(&frame) };
    let streams = match fit(shared, &me.peer, receiver, &mut frame) {
        Ok(Fitting::AsItIs(streams)) => streams,
        Ok(Fitting::PutTogether(total)) => {
            return Some(JoinedFor { receiver: Arc::clone(receiver), first: frame, total });
        }
        Err(error) => {
            refuse_request(shared, me, &frame, &error);
            return None;
        }
    };
    let in_step = shared.keep_in_step(&me.peer, receiver);
    if frame.header().wants_reply() {
        if in_step {
            call(shared, me, (receiver, counted), (&frame, streams), turn);
        } else {
            let error = Refusal::Overloaded.error(receiver.conn.outbox.crowd(&receiver.name));
            refuse_request(shared, me, &frame, &error);
        }
        return None;
    }
    // Behind the calls that are gathered for the same receiver.
    turn.flush();
    if let Err(lost) = me.pass_nowait(receiver, (frame, cost), in_step, turn) {
        drop_nowait(shared, &me.peer, &receiver.name, lost.reason());
    }
    None
}

/// How a request goes on.
pub(crate) enum Fitting {
    /// With what it says of DATA.
    AsItIs(Option<InData>),
    /// Its body, of so many bytes, has to be put together.
    PutTogether(u64),
}

/// Makes of a request what its receiver reads.
pub(crate) fn fit(shared: &RouterShared, from: &Peer, to: &Peer, frame: &mut Frame) -> Result<Fitting, RemoteError> {
    let mut streams = None;
    if frame.header().has_extensions() {
        streams = read_in_data(frame, from, to)?;
        if let Some(total) = streams.and_then(|says| says.body).filter(|_| !to.is_level_four()) {
            return Ok(Fitting::PutTogether(total));
        }
        match (from.is_level_four(), to.is_level_four()) {
            // It was read by `read_in_data`.
            (true, false) => {
                if !to.has_dropped_headers() {
                    tell_dropped(&frame.clone().take_extensions().map_err(unreadable)?, from, to);
                }
                *frame = lower(frame)?;
            }
            (false, true) => *frame = frame.clone().into_level_four(),
            (true, true) | (false, false) => {}
        }
    }
    if frame.is_to("") && !to.is_level_four() {
        *frame = address_to(frame, &to.name, shared)?;
    }
    if to.asks_identities() {
        *frame = identify(frame, from, shared)?;
    }
    Ok(Fitting::AsItIs(streams))
}

/// Tells, once for each member of level 3, that headers do not reach it.
#[cold]
pub(crate) fn tell_dropped(said: &Extensions, from: &Peer, to: &Peer) {
    if said.headers().next().is_some() && to.note_dropped_headers() {
        let (caller, receiver) = (Shown::name(&from.name), Shown::name(&to.name));
        tracing::warn!(
            %caller,
            %receiver,
            "headers are dropped: this member is a daffi 3.0.1 node; further calls of it are not logged"
        );
    }
}

/// A call whose receiver the Router chose, as a node of level 3 gets it: with its name.
fn address_to(frame: &Frame, receiver: &str, shared: &RouterShared) -> Result<Frame, RemoteError> {
    let (header, limits) = (frame.header(), &shared.server.config.limits);
    let named = Frame::new(header, frame.transmitter(), receiver, frame.method(), frame.payload(), limits);
    named.map_err(|error| Refusal::ExtensionUnsupported.error(format!("it cannot be passed on: {error}")))
}

/// A request as it passes to a member that asked who calls.
#[cold]
fn identify(frame: &Frame, from: &Peer, shared: &RouterShared) -> Result<Frame, RemoteError> {
    let identity = from.conn.identity().to_wire();
    frame
        .with_identity(identity.as_deref(), &shared.server.config.limits)
        .map_err(|error| Refusal::ExtensionUnsupported.error(format!("it cannot be said who calls: {error}")))
}

/// An answer as it passes from the link of one member to that of another, where the bit that says
/// that extensions follow has another meaning, and the classes of errors as well. `None`: as it is.
pub(crate) fn translate(
    frame: &Frame,
    from: &Peer,
    to: &Peer,
    shared: &RouterShared,
) -> Result<Option<Frame>, RemoteError> {
    match (from.is_level_four(), to.is_level_four()) {
        (true, false) => {
            frame.in_data().map_err(unreadable)?;
            lower(frame).map(Some)
        }
        // What a callback of 3.0.1 raises may be a refusal of a call that it made itself.
        (false, true) if frame.kind() == Kind::Error => {
            let error = frame.clone().into_level_four();
            // One as large as a frame may be has no room for more, and is no refusal.
            Ok(Some(error.clone().of_callback(&shared.server.config.limits).unwrap_or(error)))
        }
        (false, true) => Ok(Some(frame.clone().into_level_four())),
        (true, true) | (false, false) => Ok(None),
    }
}

fn lower(frame: &Frame) -> Result<Frame, RemoteError> {
    frame.clone().into_level_three().map_err(unreadable)
}

fn unreadable(error: ExtensionError) -> RemoteError {
    Refusal::ExtensionUnsupported.error(format!("it cannot be passed on: {error}"))
}

/// What a request with extensions says of arguments or results that come one by one. A block that
/// cannot be read is for its receiver to refuse; for one of level 3, which never sees it, this is
/// the last reader.
fn read_in_data(frame: &Frame, from: &Peer, to: &Peer) -> Result<Option<InData>, RemoteError> {
    if !from.is_level_four() {
        return Ok(None);
    }
    let says = frame.in_data();
    if to.is_level_four() {
        return Ok(says.ok().flatten());
    }
    let says = says.map_err(unreadable)?;
    if says.is_some() && !frame.header().wants_reply() {
        return Err(Refusal::ExtensionUnsupported.error("nobody waits for its answer, so nothing can come in DATA"));
    }
    if says.is_some_and(|says| says.stream.items_follow) {
        let text = format!("{} is a daffi 3.0.1 node, which takes no arguments one by one: {AS_A_LIST}", to.name);
        return Err(Refusal::LevelUnsupported.error(text));
    }
    // Its one answer is one result.
    Ok(says.filter(|says| says.body.is_some()))
}

fn call(
    shared: &RouterShared,
    sender: &Arc<Sender>,
    (receiver, counted): (&Arc<Peer>, CountedAs),
    (frame, streams): (&Frame, Option<InData>),
    turn: &mut Turn,
) {
    let (id, me) = (frame.header().id(), &sender.peer);
    if me.conn.outbox.is_full() {
        // What comes back must find room.
        let error = Refusal::Overloaded.error(me.conn.outbox.crowd(&me.name));
        return shared.refuse_call(me, id, &receiver.name, frame.method(), &error);
    }
    shared.forget_waiting_call(sender, id);
    let note = shared.callbacks.begin(counted, turn);
    let (number, before) = match open(shared, me, (receiver, note), (frame, streams)) {
        Ok(opened) => opened,
        Err(error) => return shared.refuse_call(me, id, &receiver.name, frame.method(), &error),
    };
    let asks_much = receiver.is_level_four() && {
        let much = me.asking.is_much(before, frame.as_bytes().len(), turn);
        if !much {
            receiver.line.note_few(me.id());
        }
        much
    };
    let passed = if number == id {
        sender.pass_call(receiver, frame, asks_much, turn)
    } else {
        sender.pass_call(receiver, &frame.with_id(number), asks_much, turn)
    };
    let Err(why) = passed else { return };
    receiver.load.note_error(turn.nanos());
    let error = Refusal::Overloaded.error(why);
    if me.drop_call(number, receiver.id()).is_some() {
        shared.refuse_call(me, id, &receiver.name, frame.method(), &error);
    }
}

/// Opens a call, before it is sent: the answer may be quick. When the receiver ends, its outbox is
/// closed before its calls are ended, so either that ends this call or the queueing fails, of which
/// `on_lost` hears. Gives the number under which it travels, and how many calls the receiver could
/// still answer before.
pub(crate) fn open(
    shared: &RouterShared,
    me: &Arc<Peer>,
    (receiver, note): (&Arc<Peer>, CallNote),
    (frame, streams): (&Frame, Option<InData>),
) -> Result<(CallId, usize), RemoteError> {
    let id = frame.header().id();
    let (number, before) = me.open_call(id, receiver, note, shared.call_limit.as_ref()).map_err(|why| {
        shared.callbacks.lose(&[note]);
        Refusal::Overloaded.error(why)
    })?;
    if let Some(InData { stream, window, body }) = streams {
        let flags = StreamFlags { items_follow: stream.items_follow || body.is_some(), ..stream };
        let ends = (&*me.conn, &receiver.conn, me.name.len() + receiver.name.len());
        let terms = (flags, window, frame.header().format(me.conn.level()));
        if let Err(NoStreamRoom) = me.with_streams(|streams| streams.open((id, number), ends, terms)) {
            me.drop_call(number, receiver.id());
            return Err(Refusal::Overloaded.error(format!(
                "there is no room for what a further call of {} to {} may have to wait in parts",
                me.name, receiver.name
            )));
        }
    }
    Ok((number, before))
}
