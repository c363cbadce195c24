//! The open calls of one member of which a part passes in DATA.

use std::{sync::Arc, time::Instant};

use daffi_wire::{CallCredit, CallId, FIRST_CALL_WINDOW, FormatId, StreamFlags, data_cost};
use rustc_hash::FxHashMap;

use crate::{
    conn::{Account, Charge, Conn, DataFrom, DataKey},
    data::{Gathering, Grants},
    error::ProtocolError,
    keyed::TableRoom,
    session::PassingWindow,
};

/// The calls of a member with DATA. A call without costs nothing here.
#[derive(Debug, Default)]
pub(crate) struct RoutedStreams {
    /// By the number under which the receiver knows them.
    calls: FxHashMap<CallId, RoutedStream>,
    /// The receiver's numbers by the caller's.
    numbers: FxHashMap<CallId, CallId>,
    /// The memory of these tables.
    rooms: [TableRoom; 2],
    /// What was put together of calls that have ended.
    ended: Vec<Arc<Gathering>>,
    /// What may wait of calls that have ended.
    stale: Vec<StaleData>,
}

/// DATA of a call that has ended, or that nobody takes any more, as it may wait to be written. It
/// has to be dropped before anything else happens with the number of the call, of which the next
/// call may be.
#[derive(Debug)]
pub(crate) enum StaleData {
    /// Items, at their receiver, under the number that it knows.
    Items(Arc<Conn>, CallId),
    /// Results of a receiver, at the caller, under its number.
    Results(u64, CallId),
}

impl StaleData {
    /// Drops it.
    pub(crate) fn forget(self, caller: &Conn) {
        match self {
            Self::Items(receiver, number) => receiver.forget_data(key(caller.id, number, true)),
            Self::Results(receiver, id) => caller.forget_data(key(receiver, id, false)),
        }
    }
}

#[derive(Debug)]
struct RoutedStream {
    /// The caller's number.
    id: CallId,
    /// The connection of the receiver.
    receiver: u64,
    /// The format of the call, in which its items and its results are.
    format: FormatId,
    items: Option<Direction>,
    /// Where items wait to be written that passed: at the receiver, as long as they are of use.
    items_at: Option<Arc<Conn>>,
    results: Option<Direction>,
    /// The caller takes results one by one, or did before it gave the call up.
    takes_results: bool,
    /// The answer, where it does not pass in parts because the caller takes none.
    join: Option<Arc<Gathering>>,
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
    /// What passes of grants, from the first on.
    grants: Option<Arc<Grants>>,
}

/// What the frames of a window may take: those with one byte each have the most names.
pub(crate) fn may_take(window: u32, names: usize) -> usize {
    const UNNOTICED: usize = 192;
    let per_frame = usize::try_from(data_cost(0)).unwrap_or(usize::MAX);
    (window as usize).saturating_mul(per_frame + names.saturating_sub(UNNOTICED)) / per_frame
}

impl Direction {
    /// A window is never less than the first, whatever its caller says.
    fn open(account: &Arc<Account>, window: u32, names: usize) -> Option<Self> {
        let window = PassingWindow::new(window.max(FIRST_CALL_WINDOW));
        let reserved = account.try_charge(may_take(window.window(), names), Instant::now())?;
        Some(Self { window, names, reserved, grants: None })
    }

    /// Passes a grant on, with as much of its window as there is room for. `unwritten`: what of
    /// that which passed was not written to who grants. `false`: it is old, or tells too little
    /// news to be passed on, or there is nobody to take it.
    fn grant(
        &mut self,
        credit: CallCredit,
        unwritten: impl FnOnce() -> u64,
        to: impl FnOnce() -> Option<Arc<Grants>>,
    ) -> Result<bool, ProtocolError> {
        if !self.window.takes(credit, unwritten)? || !self.window.is_news(credit) {
            return Ok(false);
        }
        let has_room =
            credit.window() <= self.window.window() || self.reserved.grow_to(may_take(credit.window(), self.names));
        let window = if has_room { credit.window() } else { self.window.window() };
        self.window.grant(credit, window);
        if self.grants.is_none() {
            self.grants = to();
        }
        Ok(self.grants.as_ref().is_some_and(|grants| grants.tell(credit.worked_off(), window)))
    }
}

/// What a frame about a call belongs to at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    /// The number there.
    pub(crate) id: CallId,
    /// The connection of the receiver of the call.
    pub(crate) receiver: u64,
}

/// The connections of caller and receiver, and the bytes of their names.
pub(crate) type StreamEnds<'a> = (&'a Conn, &'a Arc<Conn>, usize);

/// What a call says of its parts, with the window of its results, and the format of both.
pub(crate) type StreamTerms = (StreamFlags, Option<u32>, FormatId);

/// What becomes of DATA of a receiver.
#[derive(Debug)]
pub(crate) enum ResultWay {
    Passes(Passage),
    /// It is a part of what is put together.
    Joins(Arc<Gathering>),
    /// Nobody waits for it, or its receiver has not said that it follows, which is what the policy
    /// is asked about.
    Nowhere,
}

/// There is no room for what a call may have to wait.
#[derive(Debug)]
pub(crate) struct NoStreamRoom;

/// Where the results of a call go that come one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultsGo {
    /// To the caller, in this format.
    In(FormatId),
    /// The caller gave the call up, or what follows was said before.
    Nowhere,
    /// The caller takes none one by one.
    Unasked,
}

impl RoutedStreams {
    /// A call is open of which a part passes in DATA, under this number at its receiver.
    pub(crate) fn open(
        &mut self,
        (id, number): (CallId, CallId),
        (caller, receiver, names): StreamEnds<'_>,
        (flags, window, format): StreamTerms,
    ) -> Result<(), NoStreamRoom> {
        let open = |wanted: bool, to: &Conn, window| {
            wanted.then(|| Direction::open(to.data_account(), window, names).ok_or(NoStreamRoom)).transpose()
        };
        let results = open(flags.takes_results, caller, window.unwrap_or(FIRST_CALL_WINDOW))?;
        let items = open(flags.items_follow, receiver, FIRST_CALL_WINDOW)?;
        // A caller that uses the number of an open call hears nothing more of the older one.
        self.give_up(id);
        let call = RoutedStream {
            id,
            receiver: receiver.id,
            format,
            items,
            items_at: flags.items_follow.then(|| Arc::clone(receiver)),
            results,
            takes_results: flags.takes_results,
            join: None,
            begun: false,
        };
        self.add(number, call);
        Ok(())
    }

    /// A large answer is put together, to a call that its caller knows under this number and that
    /// is not here yet.
    pub(crate) fn join(&mut self, (id, number): (CallId, CallId), receiver: u64, body: Arc<Gathering>) {
        self.give_up(id);
        let call = RoutedStream {
            id,
            receiver,
            format: FormatId::OPAQUE,
            items: None,
            items_at: None,
            results: None,
            takes_results: false,
            join: Some(body),
            begun: true,
        };
        self.add(number, call);
    }

    fn add(&mut self, number: CallId, call: RoutedStream) {
        self.numbers.insert(call.id, number);
        self.calls.insert(number, call);
        self.rooms[0].note(self.calls.capacity());
        self.rooms[1].note(self.numbers.capacity());
    }

    /// Whether `body` is what is put together of the answer of `receiver` under this number.
    pub(crate) fn joins(&self, number: CallId, receiver: u64, body: &Gathering) -> bool {
        let call = self.calls.get(&number).filter(|call| call.receiver == receiver);
        call.and_then(|call| call.join.as_deref()).is_some_and(|join| std::ptr::eq(join, body))
    }

    /// Whether parts of the call of this number pass.
    pub(crate) fn passes(&self, number: CallId) -> bool {
        self.calls.get(&number).is_some_and(|call| call.join.is_none())
    }

    /// What was put together of calls that have ended since this was asked last. `None`: nothing,
    /// as nearly always.
    #[inline]
    pub(crate) fn take_ended(&mut self) -> Option<Vec<Arc<Gathering>>> {
        (!self.ended.is_empty()).then(|| std::mem::take(&mut self.ended))
    }

    /// DATA that is to be forgotten since this was asked last. `None`: there is none, as nearly
    /// always.
    #[inline]
    pub(crate) fn take_stale(&mut self) -> Option<Vec<StaleData>> {
        (!self.stale.is_empty()).then(|| std::mem::take(&mut self.stale))
    }

    /// Whether an item that passed is still of use to the receiver, which knows the call under this
    /// number.
    pub(crate) fn sends_items(&self, number: CallId, receiver: u64) -> bool {
        self.calls.get(&number).is_some_and(|call| call.receiver == receiver && call.items_at.is_some())
    }

    /// Where results go of the call that `receiver` knows under this number.
    pub(crate) fn results_of(&self, number: CallId, receiver: u64) -> ResultsGo {
        let call = self.calls.get(&number).filter(|call| call.receiver == receiver);
        match call.filter(|call| call.takes_results || call.begun) {
            None => ResultsGo::Unasked,
            Some(call) if call.results.is_some() && !call.begun => ResultsGo::In(call.format),
            Some(_) => ResultsGo::Nowhere,
        }
    }

    /// The receiver says that results follow. Gives the caller's number the first time.
    pub(crate) fn begin(&mut self, number: CallId, receiver: u64) -> Option<CallId> {
        let call = self.calls.get_mut(&number).filter(|call| call.receiver == receiver && !call.begun)?;
        call.begun = true;
        call.results.is_some().then_some(call.id)
    }

    /// The receiver says that the rest of a large answer follows, of a call that its caller knows
    /// under this number. `is_awaited`: its caller has not given it up. Gives whether it is the
    /// first such word.
    pub(crate) fn begin_answer(
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
        // Its format was checked where the answer says it.
        self.open((id, number), (caller, receiver, names), (flags, None, FormatId::OPAQUE))?;
        self.calls.entry(number).and_modify(|call| call.begun = true);
        Ok(true)
    }

    /// Whether a call that `receiver` knows under this number is here.
    pub(crate) fn is_of(&self, number: CallId, receiver: u64) -> bool {
        self.calls.get(&number).is_some_and(|call| call.receiver == receiver)
    }

    /// DATA of `receiver` passes to the caller, or is put together for it.
    pub(crate) fn pass_result(&mut self, number: CallId, receiver: u64, cost: u64) -> Result<ResultWay, ProtocolError> {
        let Some(call) = self.calls.get_mut(&number).filter(|call| call.receiver == receiver) else {
            return Ok(ResultWay::Nowhere);
        };
        if let Some(join) = &call.join {
            return Ok(ResultWay::Joins(Arc::clone(join)));
        }
        let Some(results) = call.results.as_mut().filter(|_| call.begun) else { return Ok(ResultWay::Nowhere) };
        results.window.pass(cost)?;
        Ok(ResultWay::Passes(Passage { id: call.id, receiver }))
    }

    /// DATA of the caller passes to the receiver of the call. `ends`: these were all, so that none
    /// pass after them. `None`: there is no such call, or its receiver wants no more.
    pub(crate) fn pass_item(&mut self, id: CallId, cost: u64, ends: bool) -> Result<Option<Passage>, ProtocolError> {
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

    /// The caller grants results, which passes on by what `to` gives for where they come from.
    /// `unwritten`: what of them was not written to it. `false`: the grant does not pass.
    pub(crate) fn grant_results(
        &mut self,
        credit: CallCredit,
        unwritten: impl FnOnce(Passage) -> u64,
        to: impl FnOnce(Passage) -> Option<Arc<Grants>>,
    ) -> Result<bool, ProtocolError> {
        let Some((id, call)) = self.by_caller(credit.id()) else { return Ok(false) };
        let from = Passage { id, receiver: call.receiver };
        let Some(results) = &mut call.results else { return Ok(false) };
        results.grant(credit, || unwritten(from), || to(from))
    }

    /// The receiver grants items.
    pub(crate) fn grant_items(
        &mut self,
        credit: CallCredit,
        receiver: u64,
        unwritten: impl FnOnce() -> u64,
        to: impl FnOnce(Passage) -> Option<Arc<Grants>>,
    ) -> Result<bool, ProtocolError> {
        let Some(call) = self.calls.get_mut(&credit.id()).filter(|call| call.receiver == receiver) else {
            return Ok(false);
        };
        let id = call.id;
        let Some(items) = &mut call.items else { return Ok(false) };
        items.grant(credit, unwritten, || to(Passage { id, receiver }))
    }

    /// The receiver wants no more items: those that come are dropped. Gives the caller's number the
    /// first time.
    pub(crate) fn stop_items(&mut self, number: CallId, receiver: u64) -> Option<CallId> {
        let call = self.calls.get_mut(&number).filter(|call| call.receiver == receiver)?;
        self.stale.extend(call.items_at.take().map(|at| StaleData::Items(at, number)));
        call.items.take().map(|_| call.id)
    }

    /// The caller waits no more: what still comes of the call is dropped. `false`: there is none.
    pub(crate) fn give_up(&mut self, id: CallId) -> bool {
        let Some(call) = self.numbers.get(&id).and_then(|number| self.calls.get_mut(number)) else { return false };
        self.stale.extend(call.items_at.take().map(|at| StaleData::Items(at, self.numbers[&id])));
        self.stale.extend(call.results.take().map(|_| StaleData::Results(call.receiver, id)));
        call.items = None;
        self.ended.extend(call.join.take());
        true
    }

    /// The call has ended.
    pub(crate) fn end(&mut self, number: CallId) {
        if let Some(call) = self.calls.remove(&number) {
            if self.numbers.get(&call.id) == Some(&number) {
                self.numbers.remove(&call.id);
            }
            // Results that wait go before the word that the call has ended.
            self.stale.extend(call.items_at.map(|at| StaleData::Items(at, number)));
            self.ended.extend(call.join);
        }
        if self.calls.is_empty() {
            // One busy moment must not stay with the connection for its life.
            (self.calls, self.numbers) = (FxHashMap::default(), FxHashMap::default());
            self.rooms = Default::default();
        }
    }

    /// All calls have ended.
    pub(crate) fn close(&mut self) {
        self.numbers = FxHashMap::default();
        self.rooms = Default::default();
        for (number, call) in std::mem::take(&mut self.calls) {
            self.stale.extend(call.items_at.map(|at| StaleData::Items(at, number)));
            self.ended.extend(call.join);
        }
    }

    /// The receiver of these calls has left: nothing of them comes behind the word that they have
    /// ended.
    pub(crate) fn end_receiver(&mut self, receiver: u64) {
        let gone: Vec<_> =
            self.calls.iter().filter(|(_, call)| call.receiver == receiver).map(|(at, call)| (*at, call.id)).collect();
        for (number, id) in gone {
            if self.numbers.get(&id) == Some(&number) {
                self.give_up(id);
            }
            self.end(number);
        }
    }

    /// The memory of these tables. What waits is counted where it waits.
    pub(crate) fn held_bytes(&self) -> usize {
        // Each of them may grant in both directions.
        self.rooms[0].bytes::<(CallId, RoutedStream)>()
            + self.calls.len() * 2 * size_of::<Grants>()
            + self.rooms[1].bytes::<(CallId, CallId)>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    fn by_caller(&mut self, id: CallId) -> Option<(CallId, &mut RoutedStream)> {
        let number = *self.numbers.get(&id)?;
        self.calls.get_mut(&number).map(|call| (number, call))
    }
}

/// The DATA of a call that `from` sends, as it waits for who takes it.
pub(crate) const fn key(from: u64, id: CallId, from_caller: bool) -> DataKey {
    DataKey { from: DataFrom::Conn(from), id, from_caller }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
