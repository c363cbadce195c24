//! The calls that one member made through a Router and that are open.

mod held;

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::AddAssign,
    time::Instant,
};

use daffi_wire::{CallId, NodeName};
use rustc_hash::FxHashMap;

use self::held::NumbersHeld;
use super::{
    call_note::{AskedPeer, CallNote, LoadMark, Unanswered},
    in_flight::{BuildIdHasher, IDS},
    unanswered::CallsByAge,
};
use crate::keyed::TableRoom;

/// Room that an empty table keeps.
const KEPT: usize = 1024;

/// The number of calls that may be open without asking whether there is room.
const FEW: usize = 64;

/// The calls of one member that a receiver may still answer, by the number under which the receiver
/// got them.
///
/// A reply bears a name and a number, no connection. So a number under which a reply may come for a
/// call that nobody waits for any more is not used again: not for a 3.0.1 caller that goes around
/// ([protocol, 2](daffi_wire::protocol#2)), nor for a newer connection of the same name, which
/// inherits what was open. Such a call travels under another number.
///
/// The calls to one receiver take at most as many numbers as are left for all others, so that one
/// which never answers takes none from those that do.
///
/// When the caller has left, those who have calls of it are [told](Self::tell) so, by a number for
/// each. Whoever says the number back has said all about these calls: theirs are free then.
#[derive(Debug, Default)]
pub(crate) struct OpenCalls {
    calls: HashMap<u16, OpenCall, BuildIdHasher>,
    /// The numbers under which calls travel that are not their caller's, by the caller's.
    renumbered: HashMap<u16, u16, BuildIdHasher>,
    /// The numbers of the calls to each receiver, by its connection: the end of one that has few is
    /// not looked for among all.
    held: FxHashMap<u64, NumbersHeld>,
    /// The memory of these tables, in this order, and of the lists.
    rooms: [TableRoom; 3],
    listed: usize,
    /// An empty list for the next receiver that is asked.
    spare: Vec<u16>,
    /// Calls that somebody waits for.
    waiting: usize,
    /// The calls that end when they stay without an answer for some time.
    line: CallsByAge,
    /// What was noted of calls for which nobody waits any more although no answer came, until it is
    /// taken.
    given_up: Vec<CallNote>,
    last: u16,
    before: u16,
    closed: bool,
}

#[derive(Debug)]
struct OpenCall {
    /// The connection of the receiver.
    receiver: u64,
    /// The caller's number; `None`: nobody waits for the reply.
    caller: Option<u16>,
    /// Its caller gave it up, and waits only for the word that it has ended.
    cancelled: bool,
    /// Its place in its list of those to the same receiver.
    at: u16,
    /// The number by which the receiver was told that its caller left, or 0.
    told: u32,
    /// Its mark in the line, or 0.
    mark: u32,
    note: CallNote,
    /// Until it is answered, or its caller left.
    load: Option<LoadMark>,
}

/// What a receiver has still to say about calls whose caller left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwedWords {
    /// Answers to calls of which it was not told that their caller left.
    pub(crate) answers: usize,
    /// Numbers by which it was told that of the others: it says each of them back once.
    pub(crate) farewells: usize,
}

impl AddAssign for OwedWords {
    fn add_assign(&mut self, more: Self) {
        self.answers += more.answers;
        self.farewells += more.farewells;
    }
}

impl OpenCalls {
    /// Opens a call that came under its caller's number. Gives the number under which it has to
    /// travel; `None`: there is none, or the connection has ended.
    pub(crate) fn open(&mut self, id: CallId, receiver: impl Into<AskedPeer>, note: CallNote) -> Option<CallId> {
        let AskedPeer { conn: receiver, load } = receiver.into();
        if self.closed {
            return None;
        }
        // Under most numbers nothing is open.
        let is_free = self.renumbered.is_empty() && !self.calls.contains_key(&id.0);
        if !is_free {
            self.give_up(id);
        }
        let room = IDS - self.calls.len();
        let mut is_new = false;
        let held = match self.held.entry(receiver) {
            Entry::Occupied(held) if held.get().len() >= room => return None,
            Entry::Vacant(_) if room == 0 => return None,
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => {
                let held = place.insert(NumbersHeld::new(std::mem::take(&mut self.spare)));
                self.listed += held.held_bytes();
                is_new = true;
                held
            }
        };
        let number = if is_free { id } else { free(&self.calls, &mut self.last, id) };
        if number != id {
            self.renumbered.insert(id.0, number.0);
            self.rooms[1].note(self.renumbered.capacity());
        }
        // There are fewer held calls than numbers.
        self.before = u16::try_from(held.untold()).ok()?;
        let at = change_counted(&mut self.listed, held, |held| held.push(number.0));
        let call = OpenCall { receiver, caller: Some(id.0), cancelled: false, at, told: 0, mark: 0, note, load };
        self.calls.insert(number.0, call);
        self.rooms[0].note(self.calls.capacity());
        if is_new {
            self.rooms[2].note(self.held.capacity());
        }
        self.waiting += 1;
        Some(number)
    }

    /// How many calls the receiver of the last one could still answer when that was opened, but for
    /// those that rest because their caller left.
    pub(crate) const fn asked_before(&self) -> usize {
        self.before as usize
    }

    /// Opens a call that [`take_unanswered`](Self::take_unanswered) gives when it is open too long.
    pub(crate) fn open_in_line(
        &mut self,
        id: CallId,
        (receiver, name): (impl Into<AskedPeer>, &NodeName),
        note: CallNote,
        now: Instant,
    ) -> Option<CallId> {
        let number = self.open(id, receiver, note)?;
        let calls = &mut self.calls;
        let mark = self.line.push(number, name, now, |waits| {
            calls.get(&waits.number.0).is_some_and(|slot| slot.mark == waits.mark && slot.caller.is_some())
        });
        if let Some(slot) = calls.get_mut(&number.0) {
            slot.mark = mark;
        }
        Some(number)
    }

    /// Whether the next call takes more memory, about as much again.
    pub(crate) fn grows(&self) -> bool {
        self.calls.len() == self.calls.capacity() && self.calls.len() >= FEW
    }

    /// The memory of these tables.
    pub(crate) fn held_bytes(&self) -> usize {
        let [calls, renumbered, held] = &self.rooms;
        calls.bytes::<(u16, OpenCall)>()
            + renumbered.bytes::<(u16, u16)>()
            + held.bytes::<(u64, NumbersHeld)>()
            + self.listed
            + self.spare.capacity() * size_of::<u16>()
            + self.line.held_bytes()
    }

    /// The next call that nobody has answered since then. Its number rests, because an answer may
    /// come all the same. `None`: there is none, or there was no time to find one in the `steps`
    /// that are left.
    pub(crate) fn take_unanswered(&mut self, since: Instant, steps: &mut usize) -> Option<Unanswered> {
        while *steps > 0
            && let Some(waits) = self.line.take(since)
        {
            *steps -= 1;
            if let Some(slot) = self.calls.get(&waits.number.0).filter(|slot| slot.mark == waits.mark)
                && let Some(id) = slot.caller
            {
                self.give_up(CallId(id));
                return Some(Unanswered { id: CallId(id), receiver: waits.receiver, since: waits.since });
            }
        }
        None
    }

    /// When the line of these calls is to be looked at, for whoever looks.
    pub(crate) const fn look(&mut self) -> &mut Option<Instant> {
        self.line.look()
    }

    /// Since when the first of the calls in line waits, if it still does.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.line.first()
    }

    /// Marks a call that its caller gives up. Gives the number under which it travels and the
    /// connection of its receiver. `None`: there is no such call, or it said so before. So a
    /// receiver hears of each call once, however often its caller says it.
    pub(crate) fn cancel(&mut self, id: CallId) -> Option<(CallId, u64)> {
        let number = self.renumbered.get(&id.0).copied().unwrap_or(id.0);
        let slot = self.calls.get_mut(&number).filter(|slot| slot.caller == Some(id.0) && !slot.cancelled)?;
        slot.cancelled = true;
        Some((CallId(number), slot.receiver))
    }

    /// Completes a call by a reply of `receiver`. Gives the caller's number; `None`: it matches no
    /// call that somebody waits for.
    pub(crate) fn complete(&mut self, number: CallId, receiver: u64) -> Option<CallId> {
        self.complete_noted(number, receiver).map(|(id, _)| id)
    }

    /// Completes a call as [`complete`](Self::complete) does. Gives as well what was noted of the
    /// call, unless its caller gave it up before.
    pub(crate) fn complete_noted(&mut self, number: CallId, receiver: u64) -> Option<(CallId, Option<CallNote>)> {
        let Entry::Occupied(call) = self.calls.entry(number.0) else { return None };
        if call.get().receiver != receiver {
            return None;
        }
        let slot = call.remove();
        let caller = slot.caller;
        if let Some(id) = caller {
            self.waits_no_more(slot.mark);
            if id != number.0 {
                self.renumbered.remove(&id);
            }
        }
        self.unlink(&slot);
        self.shrink();
        if slot.cancelled && caller.is_some() {
            self.given_up.push(slot.note);
        }
        caller.map(|id| (CallId(id), (!slot.cancelled).then_some(slot.note)))
    }

    /// The caller's number of an open call that `receiver` knows under this one, and whether its
    /// caller still waits. `None`: there is none.
    pub(crate) fn caller_of(&self, number: CallId, receiver: u64) -> Option<(CallId, bool)> {
        let slot = self.calls.get(&number.0).filter(|slot| slot.receiver == receiver)?;
        slot.caller.map(|id| (CallId(id), !slot.cancelled))
    }

    /// The answer of `receiver` to a call for which nobody waits has come to its end. `false`:
    /// there is no such call.
    pub(crate) fn end_unawaited(&mut self, number: CallId, receiver: u64) -> bool {
        let rests = self.calls.get(&number.0).is_some_and(|slot| slot.receiver == receiver && slot.caller.is_none());
        if rests {
            self.complete(number, receiver);
        }
        rests
    }

    /// Whether `receiver` may still answer a call that it knows under this number.
    pub(crate) fn is_open_at(&self, number: CallId, receiver: u64) -> bool {
        self.calls.get(&number.0).is_some_and(|slot| slot.receiver == receiver)
    }

    /// What `receiver` has still to say before it has said all about these calls.
    pub(crate) fn owed_by(&self, receiver: u64) -> OwedWords {
        let held = self.held.get(&receiver);
        held.map(|held| OwedWords { answers: held.untold(), farewells: held.told_lists() }).unwrap_or_default()
    }

    /// Gives up what room is not used, for what [`close`](Self::close) gave.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.calls.shrink_to_fit();
        self.rooms[0].note_shrunk(self.calls.len());
    }

    /// Ends the calls to a receiver that left, and gives their callers' numbers.
    pub(crate) fn end_receiver(&mut self, receiver: u64) -> Vec<CallId> {
        let mut gone = Vec::new();
        let held = self.held.remove(&receiver).unwrap_or_default();
        self.listed -= held.held_bytes();
        for number in held.into_numbers() {
            if let Some(OpenCall { caller: Some(id), mark, note, .. }) = self.calls.remove(&number) {
                self.waits_no_more(mark);
                self.given_up.push(note);
                if id != number {
                    self.renumbered.remove(&id);
                }
                gone.push(CallId(id));
            }
        }
        self.shrink();
        gone.sort_unstable();
        gone
    }

    /// Closes the table when the connection has ended: no call is opened here any more. Gives what
    /// a newer connection of the same name inherits.
    pub(crate) fn close(&mut self) -> Self {
        self.closed = true;
        let mut calls = std::mem::take(&mut self.calls);
        let [of_calls, _, of_held] = std::mem::take(&mut self.rooms);
        let given_up = calls.values_mut().filter_map(|slot| {
            slot.load = None;
            slot.caller.take().map(|_| slot.note)
        });
        self.given_up.extend(given_up);
        self.renumbered = HashMap::default();
        self.waiting = 0;
        self.line = CallsByAge::default();
        let listed = std::mem::take(&mut self.listed);
        let rooms = [of_calls, TableRoom::default(), of_held];
        Self { calls, held: std::mem::take(&mut self.held), rooms, listed, last: self.last, ..Self::default() }
    }

    /// Whether `receiver` may still answer calls of which it was not told that their caller left.
    pub(crate) fn is_untold(&self, receiver: u64) -> bool {
        self.held.get(&receiver).is_some_and(|held| held.untold() > 0)
    }

    /// Notes that `receiver` is told, by this number, that the caller of these calls has left. For
    /// what [`close`](Self::close) gave.
    pub(crate) fn tell(&mut self, receiver: u64, number: u32) {
        let Some(held) = self.held.get_mut(&receiver) else { return };
        let calls = &mut self.calls;
        change_counted(&mut self.listed, held, |held| {
            for open in held.tell(number).into_iter().flatten() {
                if let Some(call) = calls.get_mut(open) {
                    call.told = number;
                }
            }
        });
    }

    /// How many lists there are of calls whose caller left.
    #[cfg(test)]
    pub(super) fn count_told(&self) -> usize {
        assert_eq!(self.listed, self.held.values().map(NumbersHeld::held_bytes).sum::<usize>());
        self.held.values().map(NumbersHeld::told_lists).sum()
    }

    /// What `receiver` had to say is said about the calls of which it was told by this number:
    /// theirs are free. `false`: it was not told of any here, or has said so before.
    pub(crate) fn end_told(&mut self, receiver: u64, number: u32) -> bool {
        let Entry::Occupied(mut held) = self.held.entry(receiver) else { return false };
        let told = change_counted(&mut self.listed, held.get_mut(), |held| held.take_told(number));
        let Some(numbers) = told else { return false };
        for open in numbers {
            self.calls.remove(&open);
        }
        if held.get().len() == 0 {
            self.listed -= held.remove().held_bytes();
        }
        self.shrink();
        true
    }

    /// One busy moment must not stay with the connection for its life.
    fn shrink(&mut self) {
        if self.calls.is_empty() && self.rooms[0].capacity() > KEPT {
            (self.calls, self.rooms[0]) = (HashMap::default(), TableRoom::default());
        }
    }

    /// Takes a call out of the list of its receiver.
    fn unlink(&mut self, call: &OpenCall) {
        let Entry::Occupied(mut held) = self.held.entry(call.receiver) else { return };
        let moved = change_counted(&mut self.listed, held.get_mut(), |held| held.remove(call.told, call.at));
        if let Some(moved) = moved.and_then(|moved| self.calls.get_mut(&moved)) {
            moved.at = call.at;
        }
        if held.get().len() == 0 {
            let held = held.remove();
            self.listed -= held.held_bytes();
            let list = held.into_spare();
            if list.capacity() <= KEPT {
                self.spare = list;
            }
        }
    }

    /// Whether `receiver` may still answer one of these calls.
    pub(crate) fn is_asked(&self, receiver: u64) -> bool {
        self.held.contains_key(&receiver)
    }

    /// The receivers of these calls.
    pub(crate) fn receivers(&self) -> impl Iterator<Item = u64> {
        self.held.keys().copied()
    }

    /// The receivers of these calls, and how many calls each may still answer.
    pub(crate) fn list_receivers(&self) -> impl Iterator<Item = (u64, usize)> {
        self.held.iter().map(|(receiver, held)| (*receiver, held.len()))
    }

    /// Calls that somebody waits for.
    pub(crate) const fn count_waiting(&self) -> usize {
        self.waiting
    }

    /// Calls that a receiver may still answer.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Notes that the caller does not wait for the call of that number, if there is one: it said
    /// so, or uses the number again.
    pub(crate) fn give_up(&mut self, id: CallId) {
        let number = match self.renumbered.is_empty() {
            true => id.0,
            false => self.renumbered.remove(&id.0).unwrap_or(id.0),
        };
        if let Some(slot) = self.calls.get_mut(&number).filter(|slot| slot.caller == Some(id.0)) {
            slot.caller = None;
            let (mark, note) = (slot.mark, slot.note);
            self.waits_no_more(mark);
            self.given_up.push(note);
        }
    }

    /// What was noted of calls that ended without an answer since this was asked last. `None`:
    /// there are none, as at nearly every look.
    #[inline]
    pub(crate) fn take_given_up(&mut self) -> Option<Vec<CallNote>> {
        (!self.given_up.is_empty()).then(|| std::mem::take(&mut self.given_up))
    }

    /// Nobody waits any more for a call that somebody waited for.
    fn waits_no_more(&mut self, mark: u32) {
        self.waiting -= 1;
        if mark != 0 {
            self.line.note_end();
        }
    }
}

/// Changes the numbers of one receiver, and what is counted for the lists of all.
fn change_counted<T>(listed: &mut usize, held: &mut NumbersHeld, change: impl FnOnce(&mut NumbersHeld) -> T) -> T {
    let before = held.held_bytes();
    let done = change(held);
    *listed = *listed + held.held_bytes() - before;
    done
}

/// The number itself if it is free, else another, of which there is one.
fn free(calls: &HashMap<u16, OpenCall, BuildIdHasher>, last: &mut u16, id: CallId) -> CallId {
    if !calls.contains_key(&id.0) {
        return id;
    }
    loop {
        // Numbers are taken from the far end, which a caller that counts reaches last.
        *last = if *last <= 1 { u16::MAX } else { *last - 1 };
        if !calls.contains_key(last) {
            return CallId(*last);
        }
    }
}

#[cfg(test)]
#[path = "open_calls/number_tests.rs"]
mod tests;
