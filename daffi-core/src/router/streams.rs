//! The open calls of one member of which a part passes in DATA.

use std::{sync::Arc, time::Instant};

use daffi_wire::{CallCredit, CallId, FIRST_CALL_WINDOW, StreamFlags, data_cost};
use rustc_hash::FxHashMap;

use crate::{
    conn::{Account, Charge, Conn, DataKey},
    error::ProtocolError,
    session::PassingWindow,
};

/// The calls of a member with DATA. A call without costs nothing here.
#[derive(Debug, Default)]
pub(super) struct RoutedStreams {
    /// By the number under which the receiver knows them.
    calls: FxHashMap<CallId, RoutedStream>,
    /// Those numbers by the caller's.
    numbers: FxHashMap<CallId, CallId>,
}

#[derive(Debug)]
struct RoutedStream {
    /// The caller's number.
    id: CallId,
    /// The connection of the receiver.
    receiver: u64,
    items: Option<Direction>,
    results: Option<Direction>,
    /// The receiver has said that results follow.
    begun: bool,
}

/// One direction of a call, and what the Router may have to hold of it.
#[derive(Debug)]
struct Direction {
    window: PassingWindow,
    /// Bytes of names that each frame has.
    names: usize,
    reserved: Charge,
}

/// What the frames of a window may take: those with one byte each have the most names.
fn may_take(window: u32, names: usize) -> usize {
    const UNNOTICED: usize = 192;
    let per_frame = usize::try_from(data_cost(0)).unwrap_or(usize::MAX);
    (window as usize).saturating_mul(per_frame + names.saturating_sub(UNNOTICED)) / per_frame
}

impl Direction {
    /// A window is never less than the first, whatever its caller says.
    fn open(account: &Arc<Account>, window: u32, names: usize) -> Option<Self> {
        let window = PassingWindow::new(window.max(FIRST_CALL_WINDOW));
        let reserved = account.try_charge(may_take(window.window(), names), Instant::now())?;
        Some(Self { window, names, reserved })
    }

    /// The window of a grant as it is passed on: as much of it as there is room for. `None`: it is
    /// old, or tells too little news to be passed on. So what passes bounds how many there are.
    fn grant(&mut self, credit: CallCredit) -> Option<u32> {
        if !self.window.takes(credit) || !self.window.is_news(credit) {
            return None;
        }
        let has_room =
            credit.window() <= self.window.window() || self.reserved.grow_to(may_take(credit.window(), self.names));
        let window = if has_room { credit.window() } else { self.window.window() };
        self.window.grant(credit, window);
        Some(window)
    }
}

/// What a frame about a call belongs to at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    /// The number there.
    pub(super) id: CallId,
    /// The connection of the receiver of the call.
    pub(super) receiver: u64,
}

/// The connections of caller and receiver, and the bytes of their names.
pub(super) type StreamEnds<'a> = (&'a Conn, &'a Conn, usize);

/// There is no room for what a call may have to wait.
#[derive(Debug)]
pub(super) struct NoStreamRoom;

impl RoutedStreams {
    /// A call is open of which a part passes in DATA, under this number at its receiver.
    pub(super) fn open(
        &mut self,
        (id, number): (CallId, CallId),
        (caller, receiver, names): StreamEnds<'_>,
        flags: StreamFlags,
        window: Option<u32>,
    ) -> Result<(), NoStreamRoom> {
        let open = |wanted: bool, to: &Conn, window| {
            wanted.then(|| Direction::open(to.data_account(), window, names).ok_or(NoStreamRoom)).transpose()
        };
        let results = open(flags.takes_results, caller, window.unwrap_or(FIRST_CALL_WINDOW))?;
        let items = open(flags.items_follow, receiver, FIRST_CALL_WINDOW)?;
        // A caller that uses the number of an open call hears nothing more of the older one.
        self.give_up(id);
        self.numbers.insert(id, number);
        self.calls.insert(number, RoutedStream { id, receiver: receiver.id, items, results, begun: false });
        Ok(())
    }

    /// Whether the caller takes results one by one of the call that `receiver` knows under this
    /// number.
    pub(super) fn takes_results(&self, number: CallId, receiver: u64) -> bool {
        self.calls.get(&number).is_some_and(|call| call.receiver == receiver && call.results.is_some())
    }

    /// The receiver says that results follow. Gives the caller's number the first time.
    pub(super) fn begin(&mut self, number: CallId, receiver: u64) -> Option<CallId> {
        let call = self.calls.get_mut(&number).filter(|call| call.receiver == receiver && !call.begun)?;
        call.begun = true;
        call.results.is_some().then_some(call.id)
    }

    /// The receiver says that the rest of a large answer follows, of a call that its caller knows
    /// under this number. `is_awaited`: its caller has not given it up. Gives whether it is the
    /// first such word.
    pub(super) fn begin_answer(
        &mut self,
        (id, number): (CallId, CallId),
        (caller, receiver, names): StreamEnds<'_>,
        is_awaited: bool,
    ) -> Result<bool, NoStreamRoom> {
        if let Some(call) = self.calls.get_mut(&number).filter(|call| call.receiver == receiver.id) {
            if call.results.is_none() && is_awaited {
                call.results =
                    Some(Direction::open(caller.data_account(), FIRST_CALL_WINDOW, names).ok_or(NoStreamRoom)?);
            }
            return Ok(!std::mem::replace(&mut call.begun, true));
        }
        let flags = StreamFlags { items_follow: false, takes_results: is_awaited };
        self.open((id, number), (caller, receiver, names), flags, None)?;
        self.calls.entry(number).and_modify(|call| call.begun = true);
        Ok(true)
    }

    /// Whether a call that `receiver` knows under this number is here.
    pub(super) fn is_of(&self, number: CallId, receiver: u64) -> bool {
        self.calls.get(&number).is_some_and(|call| call.receiver == receiver)
    }

    /// DATA of `receiver` passes to the caller. `None`: nobody waits for it.
    pub(super) fn pass_result(
        &mut self,
        number: CallId,
        receiver: u64,
        cost: u64,
    ) -> Result<Option<Passage>, ProtocolError> {
        let Some(call) = self.calls.get_mut(&number).filter(|call| call.receiver == receiver) else { return Ok(None) };
        let Some(results) = &mut call.results else { return Ok(None) };
        results.window.pass(cost)?;
        Ok(Some(Passage { id: call.id, receiver }))
    }

    /// DATA of the caller passes to the receiver of the call. `ends`: these were all, so that none
    /// pass after them. `None`: there is no such call, or its receiver wants no more.
    pub(super) fn pass_item(&mut self, id: CallId, cost: u64, ends: bool) -> Result<Option<Passage>, ProtocolError> {
        let Some((number, call)) = self.by_caller(id) else { return Ok(None) };
        let receiver = call.receiver;
        let Some(items) = &mut call.items else { return Ok(None) };
        items.window.pass(cost)?;
        if ends {
            // What still waits of them is counted where it waits.
            call.items = None;
        }
        Ok(Some(Passage { id: number, receiver }))
    }

    /// The caller grants results. Gives where that goes, and with which window.
    pub(super) fn grant_results(&mut self, credit: CallCredit) -> Option<(Passage, u32)> {
        let (number, call) = self.by_caller(credit.id())?;
        let window = call.results.as_mut()?.grant(credit)?;
        Some((Passage { id: number, receiver: call.receiver }, window))
    }

    /// The receiver grants items.
    pub(super) fn grant_items(&mut self, credit: CallCredit, receiver: u64) -> Option<(Passage, u32)> {
        let call = self.calls.get_mut(&credit.id()).filter(|call| call.receiver == receiver)?;
        let window = call.items.as_mut()?.grant(credit)?;
        Some((Passage { id: call.id, receiver }, window))
    }

    /// The receiver wants no more items: those that come are dropped. Gives the caller's number the
    /// first time.
    pub(super) fn stop_items(&mut self, number: CallId, receiver: u64) -> Option<CallId> {
        let call = self.calls.get_mut(&number).filter(|call| call.receiver == receiver)?;
        call.items.take().map(|_| call.id)
    }

    /// The caller waits no more: what still comes of the call is dropped. `false`: there is none.
    pub(super) fn give_up(&mut self, id: CallId) -> bool {
        let Some((_, call)) = self.by_caller(id) else { return false };
        (call.items, call.results) = (None, None);
        true
    }

    /// The call has ended.
    pub(super) fn end(&mut self, number: CallId) {
        if let Some(call) = self.calls.remove(&number)
            && self.numbers.get(&call.id) == Some(&number)
        {
            self.numbers.remove(&call.id);
        }
        if self.calls.is_empty() {
            // One busy moment must not stay with the connection for its life.
            *self = Self::default();
        }
    }

    /// The receiver of these calls has left. Gives the callers' numbers.
    pub(super) fn end_receiver(&mut self, receiver: u64) -> Vec<CallId> {
        let gone: Vec<_> =
            self.calls.iter().filter(|(_, call)| call.receiver == receiver).map(|(at, call)| (*at, call.id)).collect();
        gone.iter().for_each(|(number, _)| self.end(*number));
        gone.into_iter().map(|(_, id)| id).collect()
    }

    /// The memory of these tables. What waits is counted where it waits.
    pub(super) fn held_bytes(&self) -> usize {
        self.calls.capacity() * (size_of::<(CallId, RoutedStream)>() + 1)
            + self.numbers.capacity() * (size_of::<(CallId, CallId)>() + 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    fn by_caller(&mut self, id: CallId) -> Option<(CallId, &mut RoutedStream)> {
        let number = *self.numbers.get(&id)?;
        self.calls.get_mut(&number).map(|call| (number, call))
    }
}

/// The DATA of a call that `from` sends, as it waits for who takes it.
pub(super) const fn key(from: u64, id: CallId, from_caller: bool) -> DataKey {
    DataKey { from: Some(from), id, from_caller }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
