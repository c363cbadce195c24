//! The DATA of one direction of one call, as each of its ends counts it
//! ([level 4](daffi_wire::level_four#data-of-a-call)).

use std::time::{Duration, Instant};

use daffi_wire::{CallCredit, FIRST_CALL_WINDOW, MAX_CALL_WINDOW};

use crate::error::ProtocolError;

/// The largest window towards a sender that is near. What is on its way stands in front of small
/// calls on the same connections: of so much a quick network is done within a millisecond.
const NEAR_CALL_WINDOW: u32 = 512 * 1024;

/// From this time on, between a grant and the first byte that it allowed, a sender is far away, and
/// a larger window is what keeps it busy.
const FAR: Duration = Duration::from_millis(5);

/// What the sender of DATA may still send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendWindow {
    sent: u64,
    worked_off: u64,
    limit: u64,
}

impl SendWindow {
    pub(crate) fn new(window: u32) -> Self {
        Self { sent: 0, worked_off: 0, limit: window.min(MAX_CALL_WINDOW).into() }
    }

    /// What the next frames may cost.
    pub(crate) const fn available(&self) -> u64 {
        self.limit.saturating_sub(self.sent)
    }

    /// Sends what costs so much, for which there was room.
    pub(crate) const fn send(&mut self, cost: u64) {
        self.sent = self.sent.saturating_add(cost);
    }

    /// Notes what the receiver takes now. A grant that is older than the one before, or of what was
    /// never sent, changes nothing.
    pub(crate) fn grant(&mut self, credit: CallCredit) {
        if credit.worked_off() >= self.worked_off && credit.worked_off() <= self.sent {
            (self.worked_off, self.limit) = (credit.worked_off(), credit.limit());
        }
    }
}

/// What the receiver of DATA has granted and worked off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReceiveWindow {
    received: u64,
    worked_off: u64,
    told: u64,
    limit: u64,
    window: u32,
    /// A grant was told at this time, and what comes beyond this was allowed by it.
    asked: Option<(u64, Instant)>,
    /// The shortest time in which such came.
    distance: Option<Duration>,
}

impl ReceiveWindow {
    pub(crate) fn new(window: u32) -> Self {
        Self { received: 0, worked_off: 0, told: 0, limit: window.into(), window, asked: None, distance: None }
    }

    /// Notes what came. Call [`note_arrival`](Self::note_arrival) if
    /// [`asks_when`](Self::asks_when) then.
    pub(crate) fn receive(&mut self, cost: u64) -> Result<(), ProtocolError> {
        self.received = self.received.saturating_add(cost);
        if self.received > self.limit {
            return Err(ProtocolError::Overrun { received: self.received, limit: self.limit });
        }
        Ok(())
    }

    /// Whether anything came.
    pub(crate) const fn has_received(&self) -> bool {
        self.received > 0
    }

    /// Whether something came that a grant allowed whose time is known.
    pub(crate) fn asks_when(&self) -> bool {
        self.asked.is_some_and(|(before, _)| self.received > before)
    }

    /// Notes when it came.
    pub(crate) fn note_arrival(&mut self, now: Instant) {
        if let Some((_, told)) = self.asked.take() {
            let took = now.saturating_duration_since(told);
            self.distance = Some(self.distance.map_or(took, |shortest| shortest.min(took)));
        }
    }

    /// Notes what was worked off. `true`: so much was since the sender was told that it should be.
    pub(crate) fn work_off(&mut self, cost: u64) -> bool {
        self.worked_off += cost;
        debug_assert!(self.worked_off <= self.received, "nothing is worked off that did not come");
        self.worked_off - self.told >= u64::from(self.window) / 4
    }

    /// Whether the sender was not told of all that was worked off.
    pub(crate) const fn is_owed(&self) -> bool {
        self.worked_off > self.told
    }

    /// The largest window that the next grant may have: twice as much, where the reader keeps up
    /// with a sender that uses what it has; beyond [`NEAR_CALL_WINDOW`] only of one that is far.
    pub(crate) fn wanted_window(&self) -> u32 {
        let keeps_up = self.worked_off == self.received;
        // Less than nothing is left of one that was overrun, of which what came before is still
        // read.
        let is_used = self.limit.saturating_sub(self.received) < u64::from(self.window) / 2;
        let is_far = self.distance.is_some_and(|distance| distance >= FAR);
        let most = if is_far { MAX_CALL_WINDOW } else { NEAR_CALL_WINDOW };
        if keeps_up && is_used { self.window.max(self.window.saturating_mul(2).min(most)) } else { self.window }
    }

    pub(crate) const fn window(&self) -> u32 {
        self.window
    }

    /// Makes the window so large, and tells the sender.
    pub(crate) fn tell(&mut self, window: u32, now: Instant) -> (u64, u32) {
        self.asked.get_or_insert((self.limit, now));
        (self.window, self.told) = (window.max(self.window), self.worked_off);
        self.limit = self.worked_off + u64::from(self.window);
        (self.worked_off, self.window)
    }
}

impl Default for ReceiveWindow {
    fn default() -> Self {
        Self::new(FIRST_CALL_WINDOW)
    }
}

/// The DATA of one direction of a call that passes through a Router, which lets no sender send more
/// than the receiver granted, and grants no more than it can hold itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PassingWindow {
    passed: u64,
    worked_off: u64,
    limit: u64,
    /// What the Router may have to hold.
    window: u32,
}

impl PassingWindow {
    pub(crate) fn new(window: u32) -> Self {
        let window = window.min(MAX_CALL_WINDOW);
        Self { passed: 0, worked_off: 0, limit: window.into(), window }
    }

    pub(crate) const fn window(&self) -> u32 {
        self.window
    }

    /// Notes what passes.
    pub(crate) fn pass(&mut self, cost: u64) -> Result<(), ProtocolError> {
        self.passed = self.passed.saturating_add(cost);
        if self.passed > self.limit {
            return Err(ProtocolError::Overrun { received: self.passed, limit: self.limit });
        }
        Ok(())
    }

    /// Whether a grant is newer than the one before. `unwritten`: what of that which passed was not
    /// written to who grants, which cannot have worked it off.
    pub(crate) fn takes(&self, credit: CallCredit, unwritten: impl FnOnce() -> u64) -> Result<bool, ProtocolError> {
        let worked_off = credit.worked_off();
        if worked_off <= self.worked_off {
            // It says nothing that was not believed before.
            return Ok(worked_off == self.worked_off);
        }
        let written = self.passed.saturating_sub(unwritten());
        if worked_off > written {
            return Err(ProtocolError::UntrueGrant { worked_off, written });
        }
        Ok(true)
    }

    /// Whether a grant says more than a little: an eighth of the window was worked off since the
    /// one before. Those that say less may be left out.
    pub(crate) fn is_news(&self, credit: CallCredit) -> bool {
        credit.worked_off().saturating_sub(self.worked_off) >= u64::from(self.window) / 8
    }

    /// Notes a grant that it [takes](Self::takes), with what the Router can hold of its window.
    pub(crate) fn grant(&mut self, credit: CallCredit, window: u32) {
        self.window = self.window.max(window);
        self.worked_off = credit.worked_off();
        // A sender may have used what was granted before.
        self.limit = self.limit.max(self.worked_off + u64::from(window));
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::CallId;

    use super::*;

    fn credit((worked_off, window): (u64, u32)) -> CallCredit {
        CallCredit::new(CallId(1), true, worked_off, window).unwrap()
    }

    #[test]
    fn a_sender_that_keeps_to_its_window_never_overruns_it() {
        // Whatever the order in which frames are sent, passed, received, worked off and granted.
        for seed in 0_u64..2_000 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut next = |below: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % below
            };
            let (mut send, mut pass, mut receive) =
                (SendWindow::new(1_000), PassingWindow::new(1_000), ReceiveWindow::new(1_000));
            let (mut there, mut back) = (Vec::new(), Vec::new());
            let (mut held, now) = (Vec::new(), Instant::now());
            for _ in 0..200 {
                match next(4) {
                    0 => {
                        let cost = 1 + next(600);
                        if cost <= send.available() {
                            send.send(cost);
                            there.push(cost);
                        }
                    }
                    1 if !there.is_empty() => {
                        let cost = there.remove(0);
                        pass.pass(cost).unwrap();
                        receive.receive(cost).unwrap();
                        held.push(cost);
                    }
                    2 if !held.is_empty() => {
                        let cost = held.remove(0);
                        if receive.work_off(cost) {
                            let window = receive.wanted_window().min(4_000);
                            back.push(credit(receive.tell(window, now)));
                        }
                    }
                    3 if !back.is_empty() => {
                        let credit = back.remove(0);
                        assert!(pass.takes(credit, || 0).unwrap());
                        // The Router has no room for more than 2,000.
                        let window = credit.window().min(2_000);
                        pass.grant(credit, window);
                        send.grant(CallCredit::new(CallId(1), true, credit.worked_off(), window).unwrap());
                    }
                    _ => {}
                }
                assert!(held.iter().sum::<u64>() <= 4_000 + 600, "what is held is what was granted");
            }
        }
    }

    /// Sends through a Router that holds at most `room`, as the page says that each end does, in
    /// an order that `seed` chooses, and gives what the sender may still send once all has come and
    /// was read. `grants`: whether a reader tells its sender now, and with which window.
    fn left_to_send(seed: u64, room: u32, grants: impl Fn(&mut ReceiveWindow, u64) -> Option<(u64, u32)>) -> u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut send, mut pass) = (SendWindow::new(FIRST_CALL_WINDOW), PassingWindow::new(FIRST_CALL_WINDOW));
        let (mut receive, mut there, mut held, mut back) = (ReceiveWindow::default(), vec![], vec![], vec![]);
        let mut step = |which: u8, cost: u64| match which {
            0 if send.available() >= WORTH_SENDING => {
                let cost = cost.min(send.available());
                send.send(cost);
                there.push(cost);
            }
            1 if !there.is_empty() => {
                let cost = there.remove(0);
                pass.pass(cost).unwrap();
                receive.receive(cost).unwrap();
                held.push(cost);
            }
            2 if !held.is_empty() => back.extend(grants(&mut receive, held.remove(0)).map(credit)),
            3 if !back.is_empty() => {
                let credit = back.remove(0);
                if pass.takes(credit, || 0).unwrap() && pass.is_news(credit) {
                    let window = credit.window().min(room.max(pass.window()));
                    pass.grant(credit, window);
                    send.grant(CallCredit::new(CallId(1), true, credit.worked_off(), window).unwrap());
                }
            }
            _ => {}
        };
        for _ in 0..400 {
            step(random.u8(..4), random.u64(257..100_000));
        }
        for which in [1, 2, 3] {
            (0..400).for_each(|_| step(which, 0));
        }
        send.available()
    }

    /// With credit for so much a sender goes on: that of a frame with 16 384 bytes.
    const WORTH_SENDING: u64 = daffi_wire::data_cost(16 * 1024);

    #[test]
    fn nobody_stands_still_where_a_router_holds_less_than_was_granted() {
        let now = Instant::now();
        for seed in 0..500 {
            for room in [FIRST_CALL_WINDOW, 100_000, 200_000, 1 << 20] {
                let ours = left_to_send(seed, room, |window, cost| {
                    window.work_off(cost).then(|| window.tell(window.wanted_window(), now))
                });
                assert!(ours >= WORTH_SENDING, "{ours}, {seed}, {room}");
                // One that grants much at once keeps to the other rule.
                let others = left_to_send(seed, room, |window, cost| {
                    let is_due = window.work_off(cost);
                    let all_came = window.worked_off == window.received;
                    let is_owed = window.worked_off - window.told >= 16_384;
                    (is_due || all_came && is_owed).then(|| window.tell(MAX_CALL_WINDOW, now))
                });
                assert!(others >= WORTH_SENDING, "{others}, {seed}, {room}");
            }
        }
    }

    #[test]
    fn more_than_was_granted_is_an_overrun() {
        let mut receive = ReceiveWindow::new(1_000);
        receive.receive(900).unwrap();
        let overrun = receive.receive(101);
        assert!(matches!(overrun, Err(ProtocolError::Overrun { received: 1_001, limit: 1_000 })), "{overrun:?}");
        let mut pass = PassingWindow::new(1_000);
        pass.pass(1_000).unwrap();
        assert!(pass.pass(1).is_err());
    }

    #[test]
    fn what_came_before_an_overrun_is_worked_off_as_ever() {
        let mut receive = ReceiveWindow::new(1_000);
        receive.receive(900).unwrap();
        receive.receive(900).unwrap_err();
        assert!(receive.work_off(900));
        assert_eq!(receive.wanted_window(), 1_000);
    }

    #[test]
    fn old_and_impossible_grants_change_nothing() {
        let mut send = SendWindow::new(1_000);
        send.send(800);
        send.grant(credit((500, 1_000)));
        assert_eq!(send.available(), 700);
        for ignored in [(400, 9_000), (801, 9_000)] {
            send.grant(credit(ignored));
            assert_eq!(send.available(), 700);
        }
    }

    #[test]
    fn a_router_believes_no_grant_of_what_was_not_written() {
        let mut pass = PassingWindow::new(1_000);
        pass.pass(800).unwrap();
        // `None`: it breaks the rule.
        let takes =
            |pass: &PassingWindow, worked_off, unwritten| pass.takes(credit((worked_off, 1_000)), || unwritten).ok();
        assert_eq!(takes(&pass, 500, 300), Some(true));
        assert_eq!((takes(&pass, 501, 300), takes(&pass, 801, 0)), (None, None));
        assert_eq!(takes(&pass, 1, u64::MAX), None, "nothing was written");
        pass.grant(credit((500, 1_000)), 1_000);
        assert_eq!(
            (takes(&pass, 499, 0), takes(&pass, 500, 0)),
            (Some(false), Some(true)),
            "older ones change nothing"
        );
    }

    #[test]
    fn a_window_grows_while_its_reader_keeps_up_with_who_uses_it() {
        let mut receive = ReceiveWindow::new(1_000);
        receive.receive(300).unwrap();
        assert!(receive.work_off(300));
        assert_eq!(receive.wanted_window(), 1_000, "little of it is used");
        receive.receive(500).unwrap();
        assert!(receive.work_off(100));
        assert_eq!(receive.wanted_window(), 1_000, "the reader does not keep up");
        receive.work_off(400);
        assert_eq!(receive.wanted_window(), 2_000);
        assert_eq!(receive.tell(2_000, Instant::now()), (800, 2_000));
    }

    /// How large a window grows while its reader keeps up, where what a grant allows takes so long.
    fn grow(times: &[u64]) -> u32 {
        let (mut receive, mut now) = (ReceiveWindow::default(), Instant::now());
        for took in times.iter().cycle().take(40) {
            let cost = receive.limit - receive.received;
            receive.receive(cost).unwrap();
            if receive.asks_when() {
                now += Duration::from_millis(*took);
                receive.note_arrival(now);
            }
            assert!(receive.work_off(cost));
            let window = receive.wanted_window();
            receive.tell(window, now);
        }
        receive.window()
    }

    #[test]
    fn only_of_a_sender_far_away_very_much_is_let_come_at_once() {
        assert_eq!(grow(&[50]), MAX_CALL_WINDOW);
        assert_eq!(grow(&[0]), NEAR_CALL_WINDOW);
        assert!(grow(&[50, 50, 0, 50]) < MAX_CALL_WINDOW, "it was near once");
    }
}
