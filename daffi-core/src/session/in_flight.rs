//! The open calls of one connection.

mod carried;
mod parts;

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
    task::{Context, Poll, Waker},
};

use daffi_wire::{CallId, Frame, NodeName};

use crate::keyed::ByName;

/// Call numbers of one connection: 1 to 65 535.
pub(crate) const IDS: usize = u16::MAX as usize;

/// Numbers that rest on a connection that is worn out.
const WORN: usize = IDS / 4;

/// How an open call ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// A RESPONSE or an ERROR.
    Reply(Frame),
    /// The last of its results came in DATA.
    AllCame,
    /// The receiver left.
    ReceiverGone,
    /// Nothing became of it before the connection ended.
    Closed,
}

/// What a reply met.
#[derive(Debug)]
pub(crate) enum Completed {
    /// An open call, whose caller is to be woken.
    Wake(Waker),
    /// An open call whose caller looks by itself, or a number that rested and is free now.
    Quietly,
}

impl Completed {
    fn of(waker: Option<Waker>) -> Self {
        waker.map_or(Self::Quietly, Self::Wake)
    }
}

/// The open calls of one connection, by their number.
///
/// Numbers are given out in a cycle. The number of a call that was given up rests until its reply
/// comes, its receiver leaves or the connection ends, so that no late reply ever reaches another
/// call.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    calls: HashMap<u16, Slot, BuildIdHasher>,
    /// Numbers that rest, in all and by receiver.
    resting: usize,
    resting_by: ByName<NodeName, usize>,
    /// How many numbers rest that are of the connection before.
    carried: usize,
    /// Numbers that are kept for calls to come.
    reserved: usize,
    last: u16,
    /// Another connection is to go on with the numbers: none is given out here.
    held: bool,
    closed: bool,
}

#[derive(Debug)]
struct Slot {
    receiver: NodeName,
    state: SlotState,
    /// Its results may come in DATA, the last of which ends it as a reply does.
    streams: bool,
    /// Of the connection before this one.
    carried: bool,
}

#[derive(Debug)]
enum SlotState {
    Waiting(Option<Waker>),
    Done(Outcome),
    /// Ended, and an answer may come all the same.
    Evicted,
    Resting,
}

impl InFlight {
    /// Takes the next free number. `None`: all are in use. `waker`: of the caller, if it is known.
    pub(crate) fn open(&mut self, receiver: &NodeName, waker: Option<&Waker>) -> Option<CallId> {
        if !self.has_free() {
            return None;
        }
        loop {
            self.last = if self.last == u16::MAX { 1 } else { self.last + 1 };
            if let Entry::Vacant(vacant) = self.calls.entry(self.last) {
                let state = SlotState::Waiting(waker.cloned());
                vacant.insert(Slot { receiver: receiver.clone(), state, streams: false, carried: false });
                return Some(CallId(self.last));
            }
        }
    }

    /// Keeps a number for a call that is still to be made. `false`: all are in use. When the
    /// connection has ended, a call finds that out by itself.
    pub(crate) fn reserve(&mut self) -> bool {
        let reserves = self.has_free() || self.closed;
        self.reserved += usize::from(reserves);
        reserves
    }

    /// Ends what [`reserve`](Self::reserve) began: the call is being made, or will not be.
    pub(crate) fn release(&mut self) {
        self.reserved -= 1;
    }

    /// The next number, without an entry: nobody answers a nowait call.
    pub(crate) fn pass(&mut self) -> CallId {
        self.last = if self.last == u16::MAX { 1 } else { self.last + 1 };
        CallId(self.last)
    }

    /// How the call ended; its number is free then.
    #[inline]
    pub(crate) fn poll(&mut self, id: CallId, cx: &Context<'_>) -> Poll<Outcome> {
        let Entry::Occupied(mut entry) = self.calls.entry(id.0) else { return Poll::Ready(Outcome::Closed) };
        match &mut entry.get_mut().state {
            SlotState::Waiting(_) if self.closed => return Poll::Ready(Outcome::Closed),
            SlotState::Waiting(waker) => {
                match waker {
                    Some(known) => known.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                return Poll::Pending;
            }
            SlotState::Evicted => {
                entry.get_mut().state = SlotState::Resting;
                let receiver = entry.get().receiver.clone();
                self.rests(&receiver);
                return Poll::Ready(Outcome::ReceiverGone);
            }
            SlotState::Done(_) => {}
            SlotState::Resting => return Poll::Ready(Outcome::Closed),
        }
        match entry.remove().state {
            SlotState::Done(outcome) => Poll::Ready(outcome),
            SlotState::Waiting(_) | SlotState::Evicted | SlotState::Resting => Poll::Ready(Outcome::Closed),
        }
    }

    /// Notes that the results of an open call may come in DATA.
    pub(crate) fn mark_streams(&mut self, id: CallId) {
        if let Some(slot) = self.calls.get_mut(&id.0) {
            slot.streams = true;
        }
    }

    /// Completes a call by its reply. `None`: nobody waits for it, or it is not from whom was
    /// asked.
    pub(crate) fn complete(&mut self, frame: Frame) -> Option<Completed> {
        let id = frame.header().id();
        self.end(id, frame, |frame, slot| slot.is_of(|asked| frame.is_from(asked)), Outcome::Reply)
    }

    /// Completes a call whose last result came in DATA of `receiver`. `None`: there is no such
    /// call.
    pub(crate) fn complete_stream(&mut self, id: CallId, receiver: &str) -> Option<Completed> {
        // Whoever gave a call up may not know that its answer was to come so.
        let ends = |slot: &Slot| slot.streams || matches!(slot.state, SlotState::Resting);
        let is_of = |receiver: &&str, slot: &Slot| ends(slot) && slot.is_of(|asked| asked.as_str() == *receiver);
        self.end(id, receiver, is_of, |_| Outcome::AllCame)
    }

    /// Ends a call by what came, if that `fits` it. Its outcome is made only if somebody waits.
    #[inline]
    fn end<T>(
        &mut self,
        id: CallId,
        came: T,
        fits: impl FnOnce(&T, &Slot) -> bool,
        outcome: impl FnOnce(T) -> Outcome,
    ) -> Option<Completed> {
        let Entry::Occupied(mut entry) = self.calls.entry(id.0) else { return None };
        if !fits(&came, entry.get()) {
            return None;
        }
        match &mut entry.get_mut().state {
            SlotState::Waiting(waker) => {
                let waker = waker.take();
                entry.get_mut().state = SlotState::Done(outcome(came));
                Some(Completed::of(waker))
            }
            SlotState::Done(_) => None,
            SlotState::Evicted => {
                entry.get_mut().state = SlotState::Done(Outcome::ReceiverGone);
                Some(Completed::Quietly)
            }
            SlotState::Resting => {
                let slot = entry.remove();
                self.rests_no_more(&slot);
                Some(Completed::Quietly)
            }
        }
    }

    /// Ends a call that its caller gave up. `sent`: whether the request may have left. `true`: the
    /// number is free at once.
    pub(crate) fn give_up(&mut self, id: CallId, sent: bool) -> bool {
        let Entry::Occupied(mut entry) = self.calls.entry(id.0) else { return false };
        match entry.get().state {
            SlotState::Waiting(_) if sent => {
                entry.get_mut().state = SlotState::Resting;
                let receiver = entry.get().receiver.clone();
                self.rests(&receiver);
                false
            }
            SlotState::Waiting(_) | SlotState::Done(_) => {
                entry.remove();
                true
            }
            SlotState::Evicted => {
                entry.get_mut().state = SlotState::Resting;
                let receiver = entry.get().receiver.clone();
                self.rests(&receiver);
                false
            }
            SlotState::Resting => false,
        }
    }

    fn rests(&mut self, receiver: &NodeName) {
        self.resting += 1;
        *self.resting_by.entry(receiver.clone()).or_default() += 1;
    }

    fn rests_no_more(&mut self, slot: &Slot) {
        self.resting -= 1;
        self.carried -= usize::from(slot.carried);
        if let Some(resting) = self.resting_by.get_mut(&*slot.receiver) {
            *resting -= 1;
            if *resting == 0 {
                self.resting_by.remove(&*slot.receiver);
            }
        }
    }

    /// Numbers of calls to `receiver` that rest, if they are as many as are left for all others: no
    /// further call should be made to it.
    pub(crate) fn rest_too_many(&self, receiver: &str) -> Option<usize> {
        if self.resting == 0 {
            return None;
        }
        self.resting_by.get(receiver).copied().filter(|resting| *resting >= IDS - self.calls.len())
    }

    /// Whether so many numbers rest that the connection should be replaced by a new one.
    pub(crate) const fn is_worn(&self) -> bool {
        self.resting >= WORN
    }

    /// Whether no call is open that somebody waits for.
    pub(crate) fn nobody_waits(&self) -> bool {
        self.calls.len() == self.resting
    }

    /// Ends the calls to a member whose name a newer connection took. Their numbers rest, because a
    /// call that was sent just before this was known is the newer node's to answer.
    pub(crate) fn evict_receiver(&mut self, receiver: &str) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for slot in self.calls.values_mut().filter(|slot| slot.receiver.as_str() == receiver) {
            if let SlotState::Waiting(waker) = &mut slot.state {
                wakers.extend(waker.take());
                slot.state = SlotState::Evicted;
            }
        }
        wakers
    }

    /// Ends the calls to a member that left, and frees its resting numbers.
    pub(crate) fn end_receiver(&mut self, receiver: &str) -> Vec<Waker> {
        let mut wakers = Vec::new();
        self.resting -= self.resting_by.remove(receiver).unwrap_or_default();
        let carried = &mut self.carried;
        self.calls.retain(|_, slot| {
            if slot.receiver.as_str() != receiver {
                return true;
            }
            match &mut slot.state {
                SlotState::Waiting(waker) => {
                    wakers.extend(waker.take());
                    slot.state = SlotState::Done(Outcome::ReceiverGone);
                    true
                }
                SlotState::Evicted => {
                    slot.state = SlotState::Done(Outcome::ReceiverGone);
                    true
                }
                SlotState::Done(_) => true,
                SlotState::Resting => {
                    *carried -= usize::from(slot.carried);
                    false
                }
            }
        });
        wakers
    }

    /// Closes the table when the connection has ended: every call that has no outcome ends with
    /// `None` at its next poll.
    pub(crate) fn close(&mut self) -> Vec<Waker> {
        self.closed = true;
        self.calls
            .values_mut()
            .filter_map(|slot| match &mut slot.state {
                SlotState::Waiting(waker) => waker.take(),
                SlotState::Done(_) | SlotState::Evicted | SlotState::Resting => None,
            })
            .collect()
    }

    /// Whether another call can be opened.
    pub(crate) fn has_free(&self) -> bool {
        !self.held && !self.is_full()
    }

    /// Whether all numbers are in use.
    pub(crate) fn is_full(&self) -> bool {
        self.calls.len() + self.reserved >= IDS
    }

    /// Gives no further numbers out from now on, or does again.
    pub(crate) const fn hold(&mut self, held: bool) {
        self.held = held;
    }
}

pub(crate) type BuildIdHasher = BuildHasherDefault<IdHasher>;

/// Call numbers are consecutive: a multiplication spreads them well enough.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u16(&mut self, id: u16) {
        self.0 = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::{FormatId, Header, Kind, Limits};

    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::new(text, &Limits::default()).unwrap()
    }

    fn reply(id: CallId, from: &str) -> Frame {
        let header = Header::new(Kind::Response, id, FormatId::JSON, true, false);
        Frame::new(header, from, "me", "f", b"", &Limits::default()).unwrap()
    }

    fn poll(table: &mut InFlight, id: CallId) -> Poll<Outcome> {
        table.poll(id, &Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_given_up_number_rests_until_its_reply() {
        let (mut table, svc) = (InFlight::default(), name("svc"));
        let first = table.open(&svc, None).unwrap();
        assert_eq!(first, CallId(1));
        assert!(!table.give_up(first, true));
        for expected in 2..=u16::MAX {
            let id = table.open(&svc, None).unwrap();
            assert_eq!(id, CallId(expected));
            if expected > 2 {
                assert!(table.complete(reply(id, "svc")).is_some());
                assert!(matches!(poll(&mut table, id), Poll::Ready(Outcome::Reply(_))));
            }
        }
        // The cycle skips 1, which rests, and 2, which is open.
        assert_eq!(table.open(&svc, None), Some(CallId(3)));
        assert!(table.complete(reply(first, "svc")).is_some(), "the late reply is taken and reaches nobody");
        assert!(table.complete(reply(first, "svc")).is_none());
        assert_eq!(table.calls.len(), 2);
    }

    #[test]
    fn only_the_receiver_can_answer() {
        let (mut table, svc) = (InFlight::default(), name("svc"));
        let id = table.open(&svc, None).unwrap();
        assert!(table.complete(reply(id, "other")).is_none());
        assert!(poll(&mut table, id).is_pending());
        assert!(table.complete(reply(id, "svc")).is_some());
        assert!(table.complete(reply(id, "svc")).is_none(), "a second answer is dropped");
    }

    #[test]
    fn a_leaving_receiver_ends_its_calls() {
        let (mut table, a, b) = (InFlight::default(), name("a"), name("b"));
        let (to_a, to_b, rests) =
            (table.open(&a, None).unwrap(), table.open(&b, None).unwrap(), table.open(&a, None).unwrap());
        table.give_up(rests, true);
        table.end_receiver("a");
        assert!(matches!(poll(&mut table, to_a), Poll::Ready(Outcome::ReceiverGone)));
        assert!(poll(&mut table, to_b).is_pending());
        table.close();
        assert!(matches!(poll(&mut table, to_b), Poll::Ready(Outcome::Closed)));
    }

    #[test]
    fn the_numbers_of_calls_to_an_evicted_receiver_rest() {
        let (mut table, a) = (InFlight::default(), name("a"));
        let (polled, answered) = (table.open(&a, None).unwrap(), table.open(&a, None).unwrap());
        table.evict_receiver("a");
        assert!(table.complete(reply(answered, "a")).is_some(), "the newer node may have got the call");
        for id in [polled, answered] {
            assert!(matches!(poll(&mut table, id), Poll::Ready(Outcome::ReceiverGone)));
        }
        assert_eq!(table.calls.len(), 1, "the one without an answer rests");
        assert!(table.complete(reply(polled, "a")).is_some());
        assert!(table.is_quiet());
    }

    #[test]
    fn numbers_go_on_over_connections() {
        let (mut first, svc) = (InFlight::default(), name("svc"));
        let (open, answered) = (first.open(&svc, None).unwrap(), first.open(&svc, None).unwrap());
        first.complete(reply(answered, "svc"));
        first.close();
        let mut second = InFlight::follow(&first);
        assert_eq!(second.open(&svc, None), Some(CallId(3)));
        assert!(second.complete(reply(open, "svc")).is_some(), "the late answer reaches nobody");
        assert!(second.complete(reply(answered, "svc")).is_none());
        let rests = second.open(&svc, None).unwrap();
        second.give_up(rests, true);
        let third = InFlight::follow(&InFlight::follow(&second));
        assert_eq!((third.calls.len(), third.last), (0, 4), "what rests is carried once");
    }

    #[test]
    fn one_receiver_that_never_answers_leaves_numbers_for_the_others() {
        let (mut table, hung, svc) = (InFlight::default(), name("hung"), name("svc"));
        let mut given_up = Vec::new();
        while table.rest_too_many("hung").is_none() {
            assert_eq!(table.is_worn(), given_up.len() >= WORN);
            let id = table.open(&hung, None).unwrap();
            table.give_up(id, true);
            given_up.push(id);
        }
        assert_eq!(given_up.len(), IDS / 2 + 1);
        assert!(table.rest_too_many("svc").is_none() && table.nobody_waits());
        let id = table.open(&svc, None).unwrap();
        assert!(!table.nobody_waits());
        table.complete(reply(id, "svc"));
        assert!(matches!(poll(&mut table, id), Poll::Ready(Outcome::Reply(_))));
        assert!(table.complete(reply(given_up[0], "hung")).is_some());
        assert_eq!(table.rest_too_many("hung"), None, "one came back");
        assert!(!InFlight::follow(&table).is_worn());
        table.end_receiver("hung");
        assert!(table.is_quiet() && table.resting == 0 && table.resting_by.is_empty());
    }

    #[test]
    fn all_numbers_in_use() {
        let (mut table, svc) = (InFlight::default(), name("svc"));
        for _ in 0..IDS {
            table.open(&svc, None).unwrap();
        }
        assert_eq!(table.open(&svc, None), None);
        table.give_up(CallId(500), false);
        assert!(table.reserve() && !table.reserve(), "one is free");
        assert_eq!(table.open(&svc, None), None, "it is reserved");
        table.release();
        assert_eq!(table.open(&svc, None), Some(CallId(500)));
    }
}
