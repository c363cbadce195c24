//! The half of a driver that reads frames and hands them to the handler, as far as the peer is not
//! held back.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use daffi_transport::{LinkError, LinkReader};
use daffi_wire::{Kind, Level};

use super::{
    Handler, Turn,
    claims::{Claim, Place, Standing},
    driver::Driver,
    hold::{Counts, Hold, PeerKind, hold},
    long_turns::Work,
    slow_peer::PaceWatch,
    slow_read::{CRAWL, OwedReads, SLOW, SlowPace},
    timers::{Timer, now},
    unfinished::{Pot, Unfinished},
};
use crate::error::Disconnected;

/// Bytes queued for the peer itself in one turn before they are written.
const QUEUED_PER_TURN: usize = 64 * 1024;

/// Bytes one read may bring.
const READ_LIMIT: usize = 1024 * 1024;

/// Bytes one read may bring while memory is short. A link takes four times as much memory for it.
const SHORT_READ: usize = 4 * 1024;

/// This part of what has come of a frame one more read may bring while memory is short, which takes
/// no more than a sixteenth of what is held: a peer that has to be read at a pace is not lost for
/// what thousands of reads cost.
const SHORT_PART: usize = 64;

/// That is never more bytes than these.
const SHORT_READ_AT_MOST: usize = 16 * 1024;

/// Bytes one read may bring at least, from a peer that is not over its share yet.
const LEAST_READ: usize = 1024;

/// Bytes one read may bring of what nobody will look at.
pub(super) const SLOW_BYTES: usize = 512 * 1024;

/// How often one that found no memory looks again.
const STARVING_PAUSE: Duration = Duration::from_millis(50);

/// The first bytes of a frame, which every connection may hold beside the budget: the smallest read
/// buffer.
const UNCOUNTED: usize = 8 * 1024;

pub(super) struct ReadSide {
    /// Of the frames that are read.
    level: Level,
    pub(super) reader: Box<dyn LinkReader>,
    /// The peer ended the stream.
    pub(super) ended: bool,
    /// Callbacks still to be timed each for itself.
    suspect: u32,
    unfinished: Unfinished,
    /// The source of memory for more of it.
    pot: Pot,
    /// There is no room for all that it might have.
    is_short: bool,
    /// Held while more than the share is.
    place: Option<Place>,
    /// What its memory may grow by.
    room: usize,
    /// How quickly it is read while it is slowed down.
    slow: SlowPace,
    /// What it is read at least while it is not.
    owed: OwedReads,
    watch: PaceWatch,
}

impl ReadSide {
    pub(super) fn new(reader: Box<dyn LinkReader>, watch: PaceWatch) -> Self {
        Self {
            level: Level::THREE,
            reader,
            ended: false,
            suspect: 0,
            unfinished: Unfinished::default(),
            pot: Pot::Share,
            is_short: false,
            place: None,
            room: 0,
            slow: SlowPace::default(),
            owed: OwedReads::default(),
            watch,
        }
    }
}

impl<R: Handler> Driver<R> {
    /// Reads what is there, and queues what the handler makes of it. `Pending`: others are first.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        let Poll::Ready(mut work) = self.pace.poll(cx) else {
            // The peer is not read now, whatever it sends.
            self.read.slow.interrupt();
            self.conn.signs.note_holding_back();
            return Poll::Pending;
        };
        self.follow_level();
        let hold = match self.read_first(cx, &mut work) {
            Ok(Some(hold)) => hold,
            Ok(None) => return Poll::Ready(Ok(())),
            Err(reason) => return Poll::Ready(Err(reason)),
        };
        let mut turn = Turn::begin(&self.conn, self.read.suspect);
        turn.know_time(work.since());
        let read = self.read_frames(cx, &mut turn, &mut work, hold);
        self.count_unfinished(0);
        turn.clock.interrupt();
        self.read.suspect = turn.clock.suspect();
        self.handler.settle(&mut turn);
        Poll::Ready(read)
    }

    /// Reads frames of the level that both ends agreed on. That may be settled long after the
    /// handshake was read, which waits for its turn, say.
    fn follow_level(&mut self) {
        let level = self.conn.level();
        if level != self.read.level {
            self.read.level = level;
            self.read.reader.set_level(level);
        }
    }

    /// Looks whether anything has come, before there is a turn for it: most drivers run because
    /// somebody queued something for their peer. `None`: nothing has; otherwise how the peer is
    /// held back.
    fn read_first(&mut self, cx: &mut Context<'_>, work: &mut Work) -> Result<Option<Hold>, Disconnected> {
        if self.read.reader.buffered_bytes() > 0 || self.read.ended || self.conn.is_ending() {
            return self.hold(None).map(Some);
        }
        let hold = self.make_room()?;
        if hold != Hold::Stop && self.fill(cx, hold, work)?.is_pending() {
            self.pace.note(work, 0, false);
            return Ok(None);
        }
        Ok(Some(hold))
    }

    /// Reads and handles frames, as far as limits allow.
    fn read_frames(
        &mut self,
        cx: &mut Context<'_>,
        turn: &mut Turn,
        work: &mut Work,
        mut hold: Hold,
    ) -> Result<(), Disconnected> {
        let queued = self.conn.outbox.bytes() + QUEUED_PER_TURN;
        while !self.read.ended && hold != Hold::Stop && !self.conn.is_ending() {
            let looks = work.wants_look();
            if work.is_enough() || self.conn.outbox.bytes() >= queued {
                // What the peer provoked is written before more of its frames are handled. That it
                // is not read meanwhile tells nothing of its pace.
                self.read.slow.interrupt();
                self.pace.note(work, turn.answers(), true);
                return Ok(());
            }
            if looks {
                turn.flush();
                hold = self.hold(None)?;
                continue;
            }
            if let Some(frame) = self.read.reader.next_frame()? {
                work.add(frame.as_bytes().len());
                frame.check_level(self.conn.level()).map_err(LinkError::from)?;
                let agrees = frame.kind() == Kind::Handshake;
                self.handler.handle(frame, turn)?;
                if agrees {
                    self.follow_level();
                    work.add_much();
                }
                continue;
            }
            turn.flush();
            turn.clock.interrupt();
            hold = self.make_room()?;
            if self.fill(cx, hold, work)?.is_pending() {
                self.pace.note(work, turn.answers(), false);
                return Ok(());
            }
        }
        self.pace.note(work, turn.answers(), false);
        self.conn.signs.note_reading_less(hold == Hold::Stop);
        // What is not wanted does not have to come.
        self.conn.signs.note_holding_back();
        self.read.watch.rest();
        self.timers.clear(Timer::Read);
        Ok(())
    }

    /// Reads once, unless the peer is held back. `Ready`: there may be frames.
    fn fill(&mut self, cx: &mut Context<'_>, hold: Hold, work: &mut Work) -> Result<Poll<()>, Disconnected> {
        self.conn.signs.note_reading_less(hold != Hold::Read);
        let most = match hold {
            Hold::Read => {
                self.timers.clear(Timer::Pause);
                self.read.slow.rest();
                Ok(self.read.room.clamp(LEAST_READ, READ_LIMIT))
            }
            Hold::Slow | Hold::Trickle => self.read.slow.allows(SLOW, now()),
            Hold::Crawl => self.read.slow.allows(CRAWL, now()),
            Hold::Creep => self.read.slow.allows(self.creep(), now()),
            Hold::Starve => Err(now() + STARVING_PAUSE),
            Hold::Stop => return Ok(Poll::Pending),
        };
        let most = match most {
            Ok(most) => most,
            Err(until) => {
                self.timers.set(Timer::Pause, until);
                match hold {
                    Hold::Starve => self.conn.signs.note_holding_back(),
                    _ => self.conn.signs.note_slowing(),
                }
                self.rest();
                return Ok(Poll::Pending);
            }
        };
        let most = if self.read.is_short { most.min(self.short_read()) } else { most };
        let goes_on = self.read.reader.buffered_bytes() > 0;
        let cannot_wait = goes_on && !self.conn.level().at_least(Level::FOUR);
        let mut limit = work.most_to_read(most.min(READ_LIMIT));
        if cannot_wait && work.is_crowded() {
            let reader = &self.read.reader;
            let whole = reader.missing_bytes().map_or(0, |missing| missing.saturating_add(reader.buffered_bytes()));
            // That it gives way would break it sooner than that it is read slowly.
            limit = limit.max(self.read.owed.bytes(whole, now()).min(most).min(READ_LIMIT));
        }
        match self.read.reader.poll_fill(cx, limit) {
            Poll::Pending => {
                self.awaits_rest()?;
                return Ok(Poll::Pending);
            }
            Poll::Ready(read) => {
                let read = read?;
                work.note_read(read);
                self.read.ended = read == 0;
                self.conn.signs.note_read(read);
                self.way.hears();
                self.read.watch.moves(read);
                self.read.slow.takes(read);
                self.read.owed.takes(read);
                if cannot_wait {
                    self.read.slow.arrives(read, now);
                } else {
                    self.read.slow.interrupt();
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Notes that nothing is there. A frame that has begun has to go on.
    fn awaits_rest(&mut self) -> Result<(), Disconnected> {
        self.read.owed.rest();
        if self.read.reader.buffered_bytes() == 0 {
            self.rest();
            return Ok(());
        }
        let reader = &mut self.read.reader;
        if reader.held_bytes() > self.conn.inbound.account().own()
            && reader.held_bytes() > 2 * (reader.buffered_bytes() + UNCOUNTED)
        {
            reader.compact();
        }
        // The peer is judged by what it holds, not by what it might have.
        self.count_unfinished(0);
        let in_the_way = self.read.place.as_ref().is_some_and(Place::is_in_the_way);
        let waited = self.read.watch.wait(self.conn.inbound.account(), in_the_way, now(), None);
        let at = waited.map_err(|slow| Disconnected::SlowSender {
            moved: slow.moved,
            within: slow.within,
            unfinished: self.read.reader.buffered_bytes(),
        })?;
        self.timers.set(Timer::Read, at);
        Ok(())
    }

    /// Notes that nothing has to come now.
    fn rest(&mut self) {
        self.read.watch.rest();
        self.timers.clear(Timer::Read);
    }

    /// Takes what the next read may hold from the budget, as far as this peer is not held back.
    fn make_room(&mut self) -> Result<Hold, Disconnected> {
        if self.holds_nothing() {
            // The usual case between two frames.
            (self.read.room, self.read.pot) = (self.conn.inbound.account().share_after(0), Pot::Share);
            self.read.is_short = false;
            return Ok(Hold::Read);
        }
        let mut growth = self.growth(READ_LIMIT);
        let inbound = &self.conn.inbound;
        let unfinished = self.memory_of_unfinished(growth);
        let (held, account) = (inbound.bytes() + unfinished, inbound.account());
        self.read.is_short = held > account.own()
            && held > account.share_after(self.more(unfinished))
            && !matches!(self.standing(), Standing { has_reserve: true, .. } | Standing { fits: true, .. });
        if self.read.is_short {
            // A few bytes keep no large buffer, and get no larger one than they need.
            self.read.reader.compact();
            growth = self.growth(self.short_read());
        }
        let hold = self.hold(Some(growth))?;
        self.count_unfinished(if hold == Hold::Starve { 0 } else { growth });
        Ok(hold)
    }

    /// Whether nothing is held of this peer, nor for it, that a limit is there for.
    fn holds_nothing(&self) -> bool {
        let (inbound, outbox) = (&self.conn.inbound, &self.conn.outbox);
        inbound.bytes() == 0
            && outbox.bytes() <= outbox.account().own()
            && self.read.place.is_none()
            && self.read.unfinished.bytes() == 0
            && self.read.reader.buffered_bytes() == 0
            && self.memory_of_unfinished(0) == 0
    }

    /// Bytes a second for one that is hardly read: in the time after which those are ended who take
    /// nothing, all such peers bring a quarter of what all may hold.
    fn creep(&self) -> usize {
        let budget = self.conn.inbound.account().budget();
        let seconds = usize::try_from(budget.patience().as_secs()).unwrap_or(usize::MAX).max(1);
        (budget.even_part() / seconds).clamp(1, CRAWL)
    }

    /// What one read may bring while memory is short.
    fn short_read(&self) -> usize {
        (self.read.reader.buffered_bytes() / SHORT_PART).clamp(SHORT_READ, SHORT_READ_AT_MOST)
    }

    /// What the next read of at most `limit` bytes may need. Between two frames that is a buffer
    /// which lasts no longer than the turn.
    fn growth(&self, limit: usize) -> usize {
        let reader = &self.read.reader;
        if reader.buffered_bytes() == 0 { 0 } else { reader.growth().min(4 * limit) }
    }

    /// Whether this peer must be held back now. `growth`: what reading on would take; `None`: what
    /// was read is to be handled first, whatever it holds.
    fn hold(&mut self, growth: Option<usize>) -> Result<Hold, Disconnected> {
        let (inbound, outbox) = (&self.conn.inbound, &self.conn.outbox);
        let (account, unwritten) = (inbound.account(), outbox.account());
        let unfinished = growth.map_or(0, |growth| self.memory_of_unfinished(growth));
        let (waiting, share) = (inbound.bytes(), account.share_after(self.more(unfinished)));
        let small = waiting + unfinished <= account.own() && outbox.bytes() <= unwritten.own();
        if small && self.read.place.is_none() {
            // The usual case: nobody can take its own part.
            (self.read.room, self.read.pot) = (share, Pot::Share);
            return Ok(Hold::Read);
        }
        let counts = Counts {
            waiting,
            unfinished,
            grows: growth.is_some_and(|growth| growth > 0),
            share,
            soft_share: account.soft_share(),
            standing: self.standing(),
            all: account.budget().held_bytes(),
            all_at_most: account.budget().most_held(),
            even_part: account.budget().even_part(),
            answers_wait: outbox.is_full(),
            provoked: outbox.provoked_bytes(),
            unwritten_share: unwritten.share(),
            unwritten_soft_share: unwritten.soft_share(),
        };
        let peer =
            PeerKind { asks_only: self.handler.may_stop_reading(), waits: self.conn.level().at_least(Level::FOUR) };
        let hold = hold(&counts, peer).map_err(|excess| Disconnected::Limit {
            what: excess.what,
            size: excess.size,
            limit: excess.limit,
        })?;
        if growth.is_some() {
            self.choose_pot(&counts, hold, peer);
        }
        Ok(hold)
    }

    /// What its place among those over their shares is worth. The rest of a frame that comes slowly
    /// takes its time, in which those who must be read faster take what is left.
    fn standing(&self) -> Standing {
        let standing = self.read.place.as_ref().map(Place::standing).unwrap_or_default();
        Standing { fits: standing.fits && !self.read.slow.has_slow_way(), ..standing }
    }

    /// Chooses where memory for the next read comes from, and how much of it there is: this peer's
    /// share, the reserve for which it stands in line, or the overdraft.
    fn choose_pot(&mut self, counts: &Counts, hold: Hold, peer: PeerKind) {
        let held = counts.waiting + counts.unfinished;
        if held <= counts.share {
            (self.read.room, self.read.place, self.read.pot) = (counts.share - held, None, Pot::Share);
            return;
        }
        let standing = counts.standing;
        let has_room = standing.has_reserve || standing.fits || !counts.grows;
        self.read.room = if has_room { READ_LIMIT } else { 0 };
        self.read.pot = match hold {
            // It has what it needs.
            _ if !counts.grows => Pot::Reserve,
            Hold::Read if standing.has_reserve => Pot::Reserve,
            Hold::Read if standing.fits => Pot::Overdraft,
            Hold::Trickle => Pot::Overdraft,
            _ => Pot::Share,
        };
        if matches!(hold, Hold::Starve | Hold::Trickle | Hold::Creep) {
            self.conn.inbound.account().budget().note_refusal(held, now());
        }
        // One whose frame has what it needs gives the reserve back if it has none of that. One of
        // which too many requests wait is known for it.
        let grows = counts.grows || self.read.unfinished.has_reserve();
        let budget = self.conn.inbound.account().budget();
        let stops = peer.asks_only && peer.waits;
        let unbounded = if stops { 0 } else { self.handler.unbounded_bytes() };
        let backlog = unbounded.saturating_sub(budget.largest_frame());
        if grows || backlog > 0 {
            self.claim(Claim {
                held,
                backlog,
                missing: if counts.grows {
                    self.read.reader.missing_bytes().unwrap_or(budget.largest_frame())
                } else {
                    0
                },
                grows,
                cannot_wait: !peer.waits,
            });
        } else {
            self.read.place = None;
        }
        if matches!(hold, Hold::Trickle | Hold::Crawl | Hold::Creep)
            && let Some(place) = &self.read.place
        {
            place.end_heaviest();
        }
    }

    /// Stands among those who hold more than their share, or goes on doing so.
    fn claim(&mut self, claim: Claim) {
        match &self.read.place {
            Some(place) => place.update(claim),
            None => {
                let budget = self.conn.inbound.account().budget();
                self.read.place = Some(budget.claim(self.conn.id, Arc::downgrade(&self.conn), claim));
            }
        }
    }

    /// The memory of what was read and not handled, with `growth` more.
    fn memory_of_unfinished(&self, growth: usize) -> usize {
        (self.read.reader.held_bytes() + growth).saturating_sub(UNCOUNTED)
    }

    /// What of that is not counted yet.
    const fn more(&self, unfinished: usize) -> usize {
        unfinished.saturating_sub(self.read.unfinished.bytes())
    }

    /// Counts that memory.
    pub(super) fn count_unfinished(&mut self, growth: usize) {
        let bytes = self.memory_of_unfinished(growth);
        self.read.unfinished.set(bytes, self.read.pot, self.conn.inbound.account());
    }

    /// Gives back what was counted, when the connection has ended.
    pub(super) fn forget_unfinished(&mut self) {
        self.read.place = None;
        self.read.unfinished.set(0, Pot::Share, self.conn.inbound.account());
    }
}
