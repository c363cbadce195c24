//! Calls of which the Router chooses the receiver: that of their frames is empty.

pub(crate) mod exposers;
pub(crate) mod load;

use std::sync::{
    Arc,
    atomic::{Ordering, fence},
};

use daffi_serde::RemoteError;
use daffi_wire::{Frame, Level, Limits, MethodName, Shown};

use self::exposers::Able;
use crate::{
    conn::Turn,
    refusal::{AS_A_LIST, Refusal},
    router::{
        Peer,
        calls::{
            bodies::is_one_frame,
            forward::{Forwarder, NAME, Route, Unroutable, check_sender, route_to},
        },
        stats::counted::CountedAs,
    },
    session::routing,
};

/// How often a choice is made anew because the member that was chosen has just changed.
const TRIES: usize = 3;

/// Those who expose a callback, as somebody looked them up who may call it.
#[derive(Debug)]
pub(crate) struct KnownExposers {
    method: MethodName,
    able: Able,
    version: u64,
}

/// What a receiver must be able to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    pub(crate) level_four: bool,
    /// A large body comes in parts, which are put together for those of level 3.
    pub(crate) in_parts: bool,
}

impl Needs {
    pub(crate) fn of(frame: &Frame, limits: &Limits) -> Self {
        let header = frame.header();
        let says = if header.has_extensions() { frame.in_data() } else { Ok(None) };
        // What this node cannot read a newer one may.
        let is_unread = says.is_err();
        let says = says.ok().flatten();
        let total = says.and_then(|says| says.body);
        Self {
            level_four: is_unread
                || header.format(Level::FOUR).min_level().at_least(Level::FOUR)
                || says.is_some_and(|says| says.stream.items_follow)
                || total.is_some_and(|total| !is_one_frame(frame, total, limits.max_frame_bytes)),
            in_parts: total.is_some(),
        }
    }
}

/// Whether the Router is asked to choose who gets it: a call of a member of level 4 that wants an
/// answer.
pub(crate) fn is_to_any(frame: &Frame, from: &Peer) -> bool {
    frame.is_to("") && frame.header().wants_reply() && from.is_level_four()
}

impl Forwarder {
    /// Chooses the receiver of a call among those who expose the callback and can read it.
    pub(crate) fn choose(&mut self, frame: &Frame, turn: &mut Turn) -> Result<(Arc<Peer>, CountedAs), Unroutable> {
        check_sender(&self.shared, &self.me.peer, frame)?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_to_choose(frame, turn) {
                // Whom it was to go to has just left, or exposes the callback no more.
                Err(Unroutable::Gone(_)) if tries < TRIES => {}
                chosen => return chosen,
            }
        }
    }

    fn try_to_choose(&mut self, frame: &Frame, turn: &mut Turn) -> Result<(Arc<Peer>, CountedAs), Unroutable> {
        let Self { shared, me, routes, choices, rights, .. } = self;
        let version = shared.exposers.version();
        let find = || {
            // First, so that nobody learns what there is that he may not call.
            rights.check_call(frame)?;
            let (method, able) =
                shared.exposers.find(frame.method()).ok_or_else(|| Unroutable::Nobody(nobody(frame)))?;
            Ok::<_, Unroutable>(KnownExposers { method, able, version })
        };
        let choice = choices.get_or_find(|known| known.version == version && frame.calls(&known.method), find)?;
        let needs = Needs::of(frame, &shared.server.config.limits);
        let (able, own) = (&choice.able, me.peer.id());
        let mut chosen_of = |level_four| able.choose(level_four, own, || turn.nanos());
        let first = if needs.in_parts { chosen_of(true) } else { None };
        let receiver = first.or_else(|| chosen_of(needs.level_four)).ok_or_else(|| unable(frame, needs, able, own))?;
        let is_it = |known: &Route| Arc::ptr_eq(&known.receiver, receiver) && known.is_current(frame);
        let route =
            routes.get_or_find(is_it, || route_to(shared, me, receiver, frame.method()).map_err(Unroutable::Gone))?;
        let (from, to) = (me.peer.conn.level(), receiver.conn.level());
        rights.check_format(frame, from, to)?;
        routing::check_receiver(frame, from, &receiver.name, to)?;
        // Either a receiver that withdraws sees that this goes to it first, or this sees that it
        // has withdrawn.
        turn.promise(&receiver.conn);
        fence(Ordering::SeqCst);
        if !route.is_current(frame) {
            return Err(Unroutable::Gone(nobody(frame)));
        }
        Ok((Arc::clone(&route.receiver), route.counted))
    }
}

fn nobody(frame: &Frame) -> RemoteError {
    let text =
        format!("no other member of this router exposes a callback \"{}\"", Shown::name(frame.method()).at_most(NAME));
    Refusal::ReceiverNotFound.error(text)
}

/// Why none of those who expose the callback gets the call.
#[cold]
fn unable(frame: &Frame, needs: Needs, able: &Able, own: u64) -> Unroutable {
    if able.choose(false, own, || 0).is_none() {
        return Unroutable::Nobody(nobody(frame));
    }
    let (format, method) = (frame.header().format(Level::FOUR), Shown::name(frame.method()).at_most(NAME));
    let who = format!("all who expose \"{method}\" are daffi 3.0.1 nodes");
    if let Err(error) = frame.in_data() {
        // For them this node is the last that reads it.
        return Unroutable::Refused(Refusal::ExtensionUnsupported.error(format!("{error}, and {who}")));
    }
    Unroutable::Nobody(if format.min_level().at_least(Level::FOUR) {
        Refusal::FormatUnsupported.error(format!("{who} and cannot read {format}"))
    } else if needs.in_parts {
        Refusal::LevelUnsupported.error(format!("{who}, which take arguments of one frame"))
    } else {
        Refusal::LevelUnsupported.error(format!("{who}, which take no arguments one by one: {AS_A_LIST}"))
    })
}
