//! Who asks much and who asks little of a member, and the line of those who ask much.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use daffi_wire::{Ping, credit_cost};
use parking_lot::Mutex;

use super::sender::Sender;
use crate::{
    conn::{Class, Conn, FEW, Turn},
    router::stats::counted::now,
    session::{FairLine, FairPlace},
};

/// A call of more bytes is much by itself.
const LARGE: usize = 16 * 1024;

/// Whoever asked much is taken to do so for this time.
const STAYS: u64 = 1_000_000_000;

/// The line stays for this time when nobody asks little any more.
const LOOK: Duration = Duration::from_secs(1);

/// Tells a mark from other questions to a peer.
const MARK: u64 = 1 << 63;

/// How much a member asks of others, as it did of late.
///
/// Relaxed: these decide only where its next requests wait.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    /// A call of it was answered, so that it is not one of those who come ever anew.
    is_known: AtomicBool,
    /// When it asked much last, in nanoseconds of the process; 0: it has not.
    much: AtomicU64,
}

impl Demand {
    /// Whether it asks much, with a call of so many bytes when its receiver could still answer so
    /// many `before`. What that takes is one look while it does not.
    #[inline]
    pub(crate) fn is_much(&self, before: usize, bytes: usize, turn: &mut Turn) -> bool {
        if before >= FEW || bytes > LARGE {
            self.much.store(turn.nanos(), Relaxed);
            return true;
        }
        self.was_much(turn) || !self.is_known.load(Relaxed)
    }

    /// Whether the sender of a nowait request of so many bytes, with which so much is outstanding,
    /// asks much. A large one is for its credit to hold back: one of each sender is on its way, at
    /// most, and more of them in line would be memory that nobody uses again soon.
    pub(crate) fn is_much_nowait(&self, outstanding: u64, bytes: usize, turn: &mut Turn) -> bool {
        if bytes > LARGE {
            return false;
        }
        if outstanding > FEW as u64 * credit_cost(0) {
            self.much.store(turn.nanos(), Relaxed);
            return true;
        }
        self.was_much(turn)
    }

    #[inline]
    fn was_much(&self, turn: &mut Turn) -> bool {
        let much = self.much.load(Relaxed);
        if much == 0 {
            return false;
        }
        let stays = turn.nanos().saturating_sub(much) < STAYS;
        if !stays {
            self.much.store(0, Relaxed);
        }
        stays
    }

    /// A call of it was answered.
    #[inline]
    pub(crate) fn note_answer(&self) {
        if !self.is_known.load(Relaxed) {
            self.is_known.store(true, Relaxed);
        }
    }
}

/// The line before one member in which those stand who ask much of it, while others ask little.
/// While nobody does there is none, and nobody waits.
#[derive(Debug, Default)]
pub(crate) struct ReceiverLine {
    /// Two of those who ask little, by their connections: whoever asks much knows that one of them
    /// is another. Relaxed: it is no harm to be seen a little later.
    few: [AtomicU64; 2],
    /// Changed under the lock of `state`. Relaxed, as `few`.
    is_on: AtomicBool,
    state: Mutex<LineState>,
}

#[derive(Debug, Default)]
struct LineState {
    /// There is none for a member of which nobody asked much. A box: most members are no workers.
    line: Option<Box<FairLine<Weak<Sender>>>>,
    /// When it was looked last whether anybody asks little.
    looked: Option<Instant>,
}

impl ReceiverLine {
    /// The member behind this connection asks little.
    #[inline]
    pub(crate) fn note_few(&self, caller: u64) {
        let [first, second] = &self.few;
        match (first.load(Relaxed), second.load(Relaxed)) {
            (one, other) if one == caller || other == caller => {}
            (0, _) => first.store(caller, Relaxed),
            (_, 0) => second.store(caller, Relaxed),
            _ => {}
        }
    }

    /// Whether there is a line for one that asks much, because others ask little.
    #[inline]
    pub(crate) fn is_for(&self, caller: u64) -> bool {
        let is_other = |few: &AtomicU64| !matches!(few.load(Relaxed), 0) && few.load(Relaxed) != caller;
        self.is_on.load(Relaxed) || self.few.iter().any(is_other)
    }

    /// Lets a request pass, or gives its sender a place in line.
    pub(crate) fn pass(
        &self,
        conn: &Conn,
        place: &mut FairPlace,
        cost: u64,
        sender: impl FnOnce() -> Weak<Sender>,
    ) -> bool {
        let mut state = self.state.lock();
        if !self.is_on.load(Relaxed) {
            state.looked = Some(now());
            self.few.iter().for_each(|few| few.store(0, Relaxed));
            self.is_on.store(true, Relaxed);
        }
        let passes = state.line.get_or_insert_default().pass(place, cost, sender);
        if !passes {
            // Whoever waits waits for a mark.
            state.mark(conn);
        }
        passes
    }

    /// Lets a request of one pass that is at the head.
    pub(crate) fn let_pass(&self, place: &mut FairPlace, cost: u64) {
        if let Some(line) = &mut self.state.lock().line {
            line.let_pass(place, cost);
        }
    }

    /// Gives a place up.
    pub(crate) fn leave(&self, place: &mut FairPlace) {
        if let Some(line) = &mut self.state.lock().line {
            line.leave(place);
        }
    }

    /// Sends a mark behind what passed, if one is due.
    pub(crate) fn mark(&self, conn: &Conn) {
        if self.is_on.load(Relaxed) {
            self.state.lock().mark(conn);
        }
    }

    /// Sends a mark behind what a turn gathered, if one is due.
    pub(crate) fn mark_in(&self, turn: &mut Turn, conn: &Arc<Conn>) {
        let mark = self.state.lock().take_mark();
        if let Some(mark) = mark {
            turn.send(conn, Class::Notice, mark.frame().as_bytes(), None);
        }
    }

    /// A mark came back. Gives those for whom there is no line any more, because nobody asks little
    /// any more.
    pub(crate) fn on_mark(&self, token: [u8; Ping::LEN]) -> Vec<Weak<Sender>> {
        let (end, now) = (u64::from_le_bytes(token), now());
        let mut state = self.state.lock();
        let LineState { line: Some(line), looked } = &mut *state else { return Vec::new() };
        if end & MARK == 0 || !line.on_mark(end & !MARK, now) {
            return Vec::new();
        }
        if looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK) {
            return Vec::new();
        }
        *looked = Some(now);
        // Both, whatever the first says.
        if self.few.each_ref().map(|few| few.swap(0, Relaxed)) != [0, 0] {
            return Vec::new();
        }
        self.is_on.store(false, Relaxed);
        line.take_all()
    }

    /// Whose turn it is, if it is anybody's.
    pub(crate) fn next(&self) -> Option<Weak<Sender>> {
        self.state.lock().line.as_mut()?.next()
    }

    /// The member has left.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        self.is_on.store(false, Relaxed);
        let line = state.line.take();
        drop(state);
        drop(line);
    }
}

impl LineState {
    fn mark(&mut self, conn: &Conn) {
        if let Some(mark) = self.take_mark() {
            // Of one that has just ended nobody waits for anything.
            drop(conn.send(Class::Notice, &mark.frame()));
        }
    }

    fn take_mark(&mut self) -> Option<Ping> {
        let end = self.line.as_mut()?.mark(now())?;
        Some(Ping::Asks((end | MARK).to_le_bytes()))
    }
}
