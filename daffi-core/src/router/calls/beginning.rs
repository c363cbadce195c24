//! Replies that end no call: what they begin follows in DATA, and the end of the call behind that.

use std::sync::{Arc, atomic::Ordering};

use daffi_wire::{FormatId, Frame, Shown};

use super::forward::Forwarder;
use crate::{
    conn::{Class, Turn},
    router::{Peer, RouterShared},
};

/// The word that results follow is no longer than names and extensions of an honest node make it.
const MOST_OF_A_WORD: usize = 4 * 1024;

/// What a RESPONSE says that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    Results,
    /// The rest of a large answer, of so many bytes.
    Body(u64),
}

/// What the word that results follow is to the call that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultsWord {
    /// They go to its caller, in the format of the call.
    Passes(FormatId),
    /// Nobody waits for them, or it was said before. The end of the call is still to come.
    Nowhere,
    /// Its caller takes no results one by one: to that it is an answer as any, and the end.
    Ends,
}

impl Forwarder {
    /// What follows a RESPONSE of this member. `None`: nothing, it ends its call.
    #[inline]
    pub(crate) fn begins(&self, frame: &Frame) -> Option<Begins> {
        if !frame.header().has_extensions() || !self.me.peer.is_level_four() {
            return None;
        }
        let says = frame.in_data().ok().flatten()?;
        // Where both are said, the body counts alone.
        says.body.map(Begins::Body).or_else(|| says.stream.items_follow.then_some(Begins::Results))
    }

    /// Passes a reply on that begins what follows in DATA, if its receiver waits for that. Whoever
    /// waits or not, the number of the call is in use until its end has come.
    pub(crate) fn begin_reply(&mut self, frame: Frame, begins: Begins, turn: &mut Turn) {
        let caller = self.shared.table.load().get(frame.receiver()).map(|found| Arc::clone(&found.peer));
        let Some(caller) = caller.filter(|_| frame.is_from(&self.me.peer.name)) else {
            // Its end is for a caller that is gone.
            return self.shared.note_dropped_reply(&self.me.peer, &frame);
        };
        if let Err(denied) = self.rights.check_format(&frame, self.me.peer.conn.level(), caller.conn.level()) {
            return self.deny_answer(&frame, &caller, denied);
        }
        match begins {
            Begins::Body(total) => self.begin_answer(frame, total, &caller, turn),
            Begins::Results => self.begin_results(&frame, &caller, turn),
        }
    }

    fn begin_results(&mut self, frame: &Frame, caller: &Arc<Peer>, turn: &mut Turn) {
        let (shared, me) = (&self.shared, &self.me.peer);
        match caller.results_word(frame.header().id(), me.id()) {
            ResultsWord::Passes(format) => {
                // Results are in the format of the call, whatever this frame has.
                if let Err(denied) = self.rights.check_sends(format) {
                    return self.deny_answer(frame, caller, denied);
                }
                // Before the word is noted: a Router that stops waits for promises.
                turn.promise(&caller.conn);
                begin_stream(shared, frame, me, caller, turn);
            }
            ResultsWord::Nowhere => shared.note_dropped_reply(me, frame),
            ResultsWord::Ends => self.reply(frame, turn),
        }
    }
}

/// Tells the caller that results follow, once. What comes with that word, and should not, finds
/// room as an answer does or ends the call.
fn begin_stream(shared: &RouterShared, frame: &Frame, me: &Peer, caller: &Peer, turn: &mut Turn) {
    let Some(id) = caller.with_streams(|streams| streams.begin(frame.header().id(), me.id())) else { return };
    me.load.note_begun();
    turn.flush();
    let class = if frame.as_bytes().len() > MOST_OF_A_WORD { Class::Answer } else { Class::Terminal };
    // A caller that has just gone needs no word.
    if !caller.conn.forward(class, &frame.with_id(id)).unwrap_or(true) {
        shared.lose_stream(caller, frame.header().id(), me, frame);
    }
}

impl RouterShared {
    /// A reply of `from` matches no call for which somebody waits.
    pub(crate) fn note_dropped_reply(&self, from: &Peer, frame: &Frame) {
        self.counters.dropped_replies.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(from = %Shown::name(&from.name), to = %Shown::name(frame.receiver()), "dropped a reply that matches no open call");
    }
}
