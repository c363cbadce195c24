//! Whether, and how, a peer is held back: a function of what is held for it.

use super::claims::{NO_MEMORY, Standing};

/// A peer may provoke this many bytes in any case before it is held back for it.
const PROVOKED_FREELY: usize = 64 * 1024;

/// A peer may provoke this many bytes in any case before it is ended: what others leave it of the
/// budget is not its fault.
const PROVOKED_AT_MOST: usize = 256 * 1024;

/// So much a frame may hold that is read more slowly beside a backlog: it would be no gain to hold
/// a flood of small ones back, which ends who sends it.
const UNFINISHED_FREELY: usize = 256 * 1024;

/// What is held for a peer now, and what may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// Bytes of its requests that were received and have not run.
    pub(super) waiting: usize,
    /// Memory of a frame that has begun.
    pub(super) unfinished: usize,
    /// Reading on takes more memory than that.
    pub(super) grows: bool,
    /// What both together may be, and from where on requests make it wait.
    pub(super) share: usize,
    pub(super) soft_share: usize,
    /// Whether it may use the reserve, whether the rest of its frame finds memory beyond the
    /// shares, and whether it has to go because there is none.
    pub(super) standing: Standing,
    /// What all peers hold, and may hold beyond their shares.
    pub(super) all: usize,
    pub(super) all_at_most: usize,
    /// What it may hold though nothing is left: all peers that hold no more are little together.
    pub(super) even_part: usize,
    /// Whether answers wait that it should take before it asks for more.
    pub(super) answers_wait: bool,
    /// Bytes that wait to be written because it provoked them: refusals, answers to handshakes.
    pub(super) provoked: usize,
    /// What may wait to be written, and from where on it is too much.
    pub(super) unwritten_share: usize,
    pub(super) unwritten_soft_share: usize,
}

/// What kind of peer it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerKind {
    /// Whether it sends requests only, so that nobody else waits when it is not read.
    pub(super) asks_only: bool,
    /// Whether it waits as long as it has to. One of 3.0.1 breaks its own stream when a write takes
    /// more than a second.
    pub(super) waits: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Read on: the peer is not held back.
    Read,
    /// Read slowly: it cannot wait.
    Slow,
    /// Read more slowly: it can wait, or more of its requests wait than it has a share for.
    Crawl,
    /// Read slowly, from memory beyond the shares: it cannot wait.
    Trickle,
    /// Read so slowly that all peers together bring little until those are ended who take nothing
    /// of what waits for them. What its answers, marks and credit are for does not stand still.
    Creep,
    /// Don't read, until requests of its have run or it took what waits.
    Stop,
    /// Don't read, until others gave memory back or the reserve is free.
    Starve,
}

/// What a peer holds that cannot be held back any more: it has to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    pub(super) what: &'static str,
    pub(super) size: usize,
    pub(super) limit: usize,
}

/// Says how to read on.
pub(super) fn hold(counts: &Counts, peer: PeerKind) -> Result<Hold, Excess> {
    let Counts { waiting, share, .. } = *counts;
    let excess = |what, size, limit| Err(Excess { what, size, limit });
    let unanswered = peer.asks_only && counts.answers_wait;
    let provokes = counts.provoked >= counts.unwritten_soft_share.max(PROVOKED_FREELY);
    if waiting >= counts.soft_share || unanswered || provokes {
        if peer.asks_only && peer.waits {
            return Ok(Hold::Stop);
        }
        let most = counts.unwritten_share.max(PROVOKED_AT_MOST);
        if counts.provoked > most {
            let what = "refusals and answers to handshakes that the peer does not take";
            return excess(what, counts.provoked, most);
        }
        // Credit bounds what others send through a Router; the answers that come with it are not
        // slowed down for that.
        let credited = peer.waits && !provokes;
        if waiting > share && counts.standing.is_to_go {
            return excess(NO_MEMORY, counts.all, counts.all_at_most);
        }
        if !credited || waiting > share {
            let starves = counts.unfinished > UNFINISHED_FREELY && starves(counts);
            if peer.waits && starves {
                return Ok(Hold::Starve);
            }
            if peer.waits && waiting > share.max(counts.even_part) && is_used_up(counts) {
                return Ok(Hold::Creep);
            }
            let slow = if peer.waits || waiting > share { Hold::Crawl } else { Hold::Slow };
            return Ok(slow);
        }
    }
    if !starves(counts) {
        Ok(Hold::Read)
    } else if peer.waits {
        Ok(Hold::Starve)
    } else if counts.standing.is_to_go {
        excess(NO_MEMORY, counts.all, counts.all_at_most)
    } else {
        Ok(Hold::Trickle)
    }
}

/// Whether nothing is left, even beyond the shares: what came before has to be worked off, or given
/// up by those who do not take it, before one that holds much is read on as before. Many of them,
/// each of which keeps to what it was granted while there was much, would need more memory than all
/// have.
const fn is_used_up(counts: &Counts) -> bool {
    counts.all > counts.all_at_most
}

/// Whether a frame that has begun needs memory that there is none of.
fn starves(counts: &Counts) -> bool {
    let Standing { has_reserve, fits, .. } = counts.standing;
    let held = counts.waiting.saturating_add(counts.unfinished);
    counts.unfinished > 0 && held > counts.share && counts.grows && !has_reserve && !fits
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_STANDING: Standing = Standing { has_reserve: false, fits: false, is_to_go: false };
    const GOES: Standing = Standing { is_to_go: true, ..NO_STANDING };
    const IDLE: Counts = Counts {
        waiting: 0,
        unfinished: 0,
        grows: true,
        share: 1000,
        soft_share: 100,
        standing: NO_STANDING,
        all: 4000,
        all_at_most: 4000,
        even_part: 0,
        answers_wait: false,
        provoked: 0,
        unwritten_share: 1000,
        unwritten_soft_share: 100,
    };
    /// The peers of a Service, of level 4 and of 3.0.1, and then those of a Router.
    const CLIENT: PeerKind = PeerKind { asks_only: true, waits: true };
    const OLD_CLIENT: PeerKind = PeerKind { asks_only: true, waits: false };
    const MEMBER: PeerKind = PeerKind { asks_only: false, waits: true };
    const OLD_MEMBER: PeerKind = PeerKind { asks_only: false, waits: false };

    /// `None`: it is ended.
    fn all(counts: Counts) -> [Option<Hold>; 4] {
        [CLIENT, OLD_CLIENT, MEMBER, OLD_MEMBER].map(|peer| hold(&counts, peer).ok())
    }

    const READ: Option<Hold> = Some(Hold::Read);
    const SLOW: Option<Hold> = Some(Hold::Slow);
    const CRAWL: Option<Hold> = Some(Hold::Crawl);
    const TRICKLE: Option<Hold> = Some(Hold::Trickle);
    const CREEP: Option<Hold> = Some(Hold::Creep);
    const STOP: Option<Hold> = Some(Hold::Stop);
    const STARVE: Option<Hold> = Some(Hold::Starve);

    #[test]
    fn nobody_is_held_back_without_need() {
        assert_eq!(all(IDLE), [READ; 4]);
        assert_eq!(all(Counts { waiting: 99, unfinished: 901, ..IDLE }), [READ; 4]);
    }

    #[test]
    fn a_backlog_stops_who_can_wait_and_slows_who_cannot() {
        assert_eq!(all(Counts { waiting: 100, ..IDLE }), [STOP, SLOW, READ, SLOW]);
        assert_eq!(all(Counts { waiting: 1001, ..IDLE }), [STOP, CRAWL, CRAWL, CRAWL]);
        assert_eq!(all(Counts { waiting: 1001, standing: GOES, ..IDLE }), [STOP, None, None, None]);
    }

    #[test]
    fn who_takes_no_answers_asks_no_more() {
        assert_eq!(all(Counts { answers_wait: true, ..IDLE }), [STOP, SLOW, READ, READ]);
    }

    #[test]
    fn who_provokes_and_takes_nothing_is_slowed_and_ended_past_its_part() {
        assert_eq!(all(Counts { provoked: PROVOKED_FREELY - 1, ..IDLE }), [READ; 4]);
        assert_eq!(all(Counts { provoked: PROVOKED_FREELY, ..IDLE }), [STOP, SLOW, CRAWL, SLOW]);
        assert_eq!(all(Counts { provoked: PROVOKED_AT_MOST + 1, ..IDLE }), [STOP, None, None, None]);
        let roomy = Counts { unwritten_share: 1 << 20, unwritten_soft_share: 1 << 19, ..IDLE };
        assert_eq!(all(Counts { provoked: 1 << 18, ..roomy }), [READ; 4]);
    }

    #[test]
    fn a_frame_beyond_the_share_waits_for_memory() {
        let large = Counts { unfinished: 1001, ..IDLE };
        assert_eq!(all(large), [STARVE, TRICKLE, STARVE, TRICKLE]);
        assert_eq!(all(Counts { standing: GOES, ..large }), [STARVE, None, STARVE, None]);
        assert_eq!(all(Counts { standing: Standing { has_reserve: true, ..GOES }, ..large }), [READ; 4]);
        assert_eq!(all(Counts { standing: Standing { fits: true, ..NO_STANDING }, ..large }), [READ; 4]);
        assert_eq!(all(Counts { grows: false, standing: GOES, ..large }), [READ; 4], "it has what it needs");
    }

    #[test]
    fn a_backlog_beyond_the_share_is_no_way_around_the_wait_for_memory() {
        let both = Counts { waiting: 1001, unfinished: UNFINISHED_FREELY + 1, ..IDLE };
        assert_eq!(all(both), [STOP, CRAWL, STARVE, CRAWL]);
        assert_eq!(all(Counts { unfinished: UNFINISHED_FREELY, ..both }), [STOP, CRAWL, CRAWL, CRAWL]);
        let has_reserve = Standing { has_reserve: true, ..NO_STANDING };
        assert_eq!(all(Counts { standing: has_reserve, ..both }), [STOP, CRAWL, CRAWL, CRAWL]);
        assert_eq!(all(Counts { grows: false, ..both }), [STOP, CRAWL, CRAWL, CRAWL]);
    }

    #[test]
    fn where_nothing_is_left_who_can_wait_and_holds_much_is_hardly_read() {
        let used_up = Counts { all: 4001, ..IDLE };
        assert_eq!(all(used_up), [READ; 4]);
        assert_eq!(all(Counts { waiting: 1000, ..used_up }), [STOP, SLOW, READ, SLOW]);
        assert_eq!(all(Counts { waiting: 1001, ..used_up }), [STOP, CRAWL, CREEP, CRAWL]);
        let little = Counts { waiting: 1200, even_part: 1200, ..used_up };
        assert_eq!(all(little), [STOP, CRAWL, CRAWL, CRAWL], "it is not for it that nothing is left");
        assert_eq!(all(Counts { waiting: 1201, ..little }), [STOP, CRAWL, CREEP, CRAWL]);
        assert_eq!(all(Counts { waiting: 1001, standing: GOES, ..used_up }), [STOP, None, None, None]);
    }

    #[test]
    fn the_reserve_is_no_excuse_for_a_backlog() {
        let standing = Standing { has_reserve: true, ..NO_STANDING };
        let both = Counts { waiting: 500, unfinished: 900, standing, ..IDLE };
        assert_eq!(all(both), [STOP, SLOW, READ, SLOW]);
    }

    #[test]
    fn reasons_say_what_and_how_much() {
        for (waiting, unfinished) in [(2000, 0), (0, 2000)] {
            let counts = Counts { waiting, unfinished, standing: GOES, all: 5000, ..IDLE };
            let excess = hold(&counts, OLD_CLIENT).unwrap_err();
            assert_eq!((excess.size, excess.limit), (5000, 4000), "of all, and not of its share");
            assert!(excess.what.contains("`budget_bytes`"), "{}", excess.what);
        }
    }
}
