//! Members of level 4 of which nothing came behind their handshake.
//!
//! One whose way from its Router is dead says HANDSHAKE, hears no answer, and does so again when it
//! has waited for long enough. Each time all would be told of it, and calls would go to it and die.
//! So one under the name of such a member is shown to the others when something came of it that it
//! says when it hears. It is ended when it says nothing for too long, whatever bytes it sends:
//! nobody else sees that it is there.

use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use daffi_wire::{NodeName, Ping, Shown};
use foldhash::quality::RandomState;

use crate::{
    conn::{Class, Conn},
    deadline::LATE,
    error::Disconnected,
    events::MemberEvent,
    router::{Peer, RouterShared, flow::sender::Sender, waiting::ready::Sign},
    session::ENDED,
};

/// Names that are remembered, at most.
const MOST: usize = 4096;

/// Whose connection ended before may have had nothing to say.
const LONG: Duration = Duration::from_secs(1);

/// A way to a member on which so many bytes arrive while it is waited for is a slow one, and no
/// dead one: 1 KiB/s.
const SLOW: u64 = ENDED.as_secs() * 1024;

/// Whether a whole frame came of a member behind its handshake.
///
/// Relaxed: what is seen late makes a suspect of a member whose successor is asked once more.
#[derive(Debug)]
pub(crate) struct FirstWord {
    /// Since when it is a member.
    since: Instant,
    came: AtomicBool,
}

impl FirstWord {
    pub(crate) fn new(since: Instant) -> Self {
        Self { since, came: AtomicBool::new(false) }
    }

    fn note(&self) {
        self.came.store(true, Relaxed);
    }

    /// Whether it should have come by now.
    fn is_missing(&self, now: Instant) -> bool {
        !self.came.load(Relaxed) && now.saturating_duration_since(self.since) >= LONG
    }
}

/// A member of level 4 of which no whole frame came yet behind its handshake.
#[derive(Debug)]
pub(crate) struct Unheard {
    /// Of one that the others were not told of: how it was asked.
    asked: Option<Box<OpenQuestion>>,
}

/// A question whether a member hears.
#[derive(Debug)]
struct OpenQuestion {
    /// Where it ends, in bytes since the connection began.
    end: u64,
    /// Until then the member is waited for.
    until: Instant,
    /// How things stood when that time began.
    before: Stands,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stands {
    /// Bytes that the member's host has acknowledged.
    acknowledged: u64,
    /// How often the Router did not read it.
    held_back: u64,
}

impl Unheard {
    /// `is_shown`: the others were told of it all the same, and it was not
    /// [asked](RouterShared::ask).
    pub(crate) fn new(conn: &Conn, is_shown: bool, now: Instant) -> Self {
        let asked = (!is_shown).then(|| Box::new(OpenQuestion::new(conn.outbox.end(), Stands::of(conn), now)));
        Self { asked }
    }

    pub(crate) const fn is_shown(&self) -> bool {
        self.asked.is_none()
    }

    /// When [`on_time`](Self::on_time) is to be called.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.asked.as_ref().map(|asked| asked.until)
    }

    /// Looks at one that is not shown when its time has come.
    ///
    /// # Errors
    /// [`Disconnected::Silent`]: it was asked for long enough.
    pub(crate) fn on_time(&mut self, conn: &Conn, now: Instant) -> Result<(), Disconnected> {
        let Some(asked) = self.asked.as_mut().filter(|asked| now >= asked.until) else { return Ok(()) };
        if asked.goes_on(Stands::of(conn), now) { Ok(()) } else { Err(Disconnected::Silent(ENDED)) }
    }
}

impl OpenQuestion {
    fn new(end: u64, before: Stands, now: Instant) -> Self {
        Self { end, until: now + ENDED, before }
    }

    /// Whether the member is waited for once more: the question was still on its way behind the
    /// list, the Router did not read what came, or it stood still itself.
    fn goes_on(&mut self, stands: Stands, now: Instant) -> bool {
        let before = self.before;
        let travels = before.acknowledged < self.end && stands.acknowledged - before.acknowledged >= SLOW;
        let goes_on = travels || stands.held_back > before.held_back || now - self.until > LATE;
        if goes_on {
            *self = Self::new(self.end, stands, now);
        }
        goes_on
    }
}

impl Stands {
    fn of(conn: &Conn) -> Self {
        Self { acknowledged: conn.acknowledged_bytes(), held_back: conn.times_held_back() }
    }
}

/// The names under which nothing came from a connection that stood for long enough, each in the one
/// place that a hash gives it: the newest has it. So whoever comes under many names makes the
/// Router forget some, and remember no more.
///
/// Relaxed: what is seen late costs the others one more word of a member that does not hear.
#[derive(Debug)]
pub(crate) struct Suspects {
    places: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Suspects {
    pub(crate) fn new() -> Self {
        Self { places: (0..MOST).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::default() }
    }

    /// The connection of a member of level 4 ended, or its name is to pass to another connection.
    pub(crate) fn note_end(&self, name: &NodeName, word: &FirstWord, now: Instant) {
        if word.is_missing(now) {
            let (place, mark) = self.place(name);
            place.store(mark, Relaxed);
        }
    }

    /// A member of that name hears, as its first word says.
    pub(crate) fn forget(&self, name: &NodeName, word: &FirstWord) {
        word.note();
        let (place, mark) = self.place(name);
        // Of another that came just now this leaves the mark.
        let _was_marked = place.compare_exchange(mark, 0, Relaxed, Relaxed);
    }

    pub(crate) fn has(&self, name: &NodeName) -> bool {
        let (place, mark) = self.place(name);
        place.load(Relaxed) == mark
    }

    fn place(&self, name: &NodeName) -> (&AtomicU64, u64) {
        let hash = self.hasher.hash_one(name);
        #[expect(clippy::cast_possible_truncation, reason = "some bits of it are enough")]
        let place = &self.places[hash as usize % MOST];
        (place, hash.max(1))
    }
}

impl RouterShared {
    /// Asks a newcomer whether it hears.
    pub(crate) fn ask(&self, me: &Peer) {
        tracing::info!(conn = me.conn.id, member = %Shown::name(&me.name), "a newcomer is shown to the others once it hears: nothing came of the last one of its name");
        // One that has just gone hears nothing.
        drop(me.conn.send(Class::Notice, &Ping::Asks(me.conn.id.to_le_bytes()).frame()));
    }

    /// A member has shown that it hears: the others are told of it, and calls go to it.
    pub(crate) fn show(&self, sender: &Arc<Sender>) {
        let me = &sender.peer;
        let mut members = self.members.lock();
        if !members.show(&me.name, me.id()) {
            // It is a member no more.
            return;
        }
        let inherited = self.absent.lock().take(&me.name);
        self.hand_on(inherited, sender);
        me.note_known(members.end());
        self.enter(sender);
        drop(members);
        self.news.notify_one();
        self.waiting.note(|| Sign::Exposes(Arc::clone(me)));
        self.server.events.tell(MemberEvent::Added(me.name.to_string()));
    }
}

#[cfg(test)]
#[path = "suspects_tests.rs"]
mod tests;
