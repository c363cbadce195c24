//! Whether the other end of a level 4 link lives (`LEVEL_FOUR.md`, "Pings").

use std::time::{Duration, Instant};

/// A peer that was silent for this long, or for twice that, is asked whether it lives.
const LOOK: Duration = Duration::from_secs(5);

/// A peer that is silent for this long after it was asked is shown as stopped.
const STOPPED: Duration = Duration::from_secs(10);

/// The connection of a peer that is silent for this long after it was asked is ended.
pub(crate) const ENDED: Duration = Duration::from_secs(30);

/// A node that is woken this much later than it asked for stood still itself, and can blame nobody
/// else.
const LATE: Duration = Duration::from_secs(2);

/// The clock of one peer: it lives if it sends anything, or takes what it had not taken.
#[derive(Debug)]
pub(crate) struct Pulse {
    state: PulseState,
    next: Instant,
}

#[derive(Clone, Copy, Debug)]
enum PulseState {
    Lives,
    /// The peer was asked then.
    Asked(Instant),
    /// The peer was asked, and is shown as stopped.
    Stopped,
}

/// What to do about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Nothing,
    /// The peer is to be asked whether it lives.
    Ask,
    /// The peer is to be shown as standing still.
    Stopped,
    /// The peer is to be shown as going on.
    GoesOn,
    /// The connection is to be ended.
    End,
}

impl Pulse {
    pub(crate) fn new(now: Instant) -> Self {
        Self { state: PulseState::Lives, next: now + LOOK }
    }

    /// The time at which [`beat`](Self::beat) is to be called next.
    pub(crate) const fn next(&self) -> Instant {
        self.next
    }

    /// Says what to do when that time has come. `heard`: whether the peer gave a sign of life since
    /// the last time.
    pub(crate) fn beat(&mut self, now: Instant, heard: bool) -> Beat {
        if now < self.next && !heard {
            return Beat::Nothing;
        }
        let late = now.saturating_duration_since(self.next) > LATE;
        if heard || late {
            let goes_on = matches!(self.state, PulseState::Stopped) && heard;
            // After a standstill of this process a peer that was asked before is asked again.
            *self = Self::new(now);
            return if goes_on { Beat::GoesOn } else { Beat::Nothing };
        }
        match self.state {
            PulseState::Lives => {
                (self.state, self.next) = (PulseState::Asked(now), now + STOPPED);
                Beat::Ask
            }
            PulseState::Asked(since) => {
                (self.state, self.next) = (PulseState::Stopped, since + ENDED);
                Beat::Stopped
            }
            PulseState::Stopped => Beat::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets time pass in steps until the pulse does something, and says what and after how many
    /// seconds.
    fn run(pulse: &mut Pulse, now: &mut Instant, mut heard: bool) -> (Beat, u64) {
        let begun = *now;
        loop {
            *now = pulse.next();
            let beat = pulse.beat(*now, std::mem::take(&mut heard));
            if beat != Beat::Nothing {
                return (beat, (*now - begun).as_secs());
            }
        }
    }

    #[test]
    fn a_silent_peer_is_asked_shown_as_stopped_and_ended() {
        let mut now = Instant::now();
        let mut pulse = Pulse::new(now);
        assert_eq!(run(&mut pulse, &mut now, false), (Beat::Ask, 5));
        assert_eq!(run(&mut pulse, &mut now, false), (Beat::Stopped, 10));
        assert_eq!(run(&mut pulse, &mut now, false), (Beat::End, 20));
    }

    #[test]
    fn any_sign_of_life_begins_anew() {
        let mut now = Instant::now();
        let mut pulse = Pulse::new(now);
        assert_eq!(run(&mut pulse, &mut now, true), (Beat::Ask, 10), "at most two looks after the last sign");
        assert_eq!(run(&mut pulse, &mut now, true), (Beat::Ask, 15));
        assert_eq!(run(&mut pulse, &mut now, false), (Beat::Stopped, 10));
        assert_eq!(run(&mut pulse, &mut now, true), (Beat::GoesOn, 20));
        assert_eq!(run(&mut pulse, &mut now, false), (Beat::Ask, 5));
    }

    #[test]
    fn a_process_that_stood_still_itself_blames_nobody() {
        let mut now = Instant::now();
        let mut pulse = Pulse::new(now);
        run(&mut pulse, &mut now, false);
        run(&mut pulse, &mut now, false);
        now = pulse.next() + Duration::from_secs(3600);
        assert_eq!(pulse.beat(now, false), Beat::Nothing);
        assert_eq!(run(&mut pulse, &mut now, false), (Beat::Ask, 5));
        assert_eq!(run(&mut pulse, &mut now, false), (Beat::Stopped, 10));
    }
}
