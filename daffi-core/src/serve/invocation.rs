//! Calls that are open at this node, as those see them who run, answer and cancel them.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicU8,
            Ordering::{AcqRel, Acquire, Relaxed},
            fence,
        },
    },
};

use daffi_wire::CallId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    caller::{Caller, CallerId},
    last_word::LastWord,
};
use crate::{data::CallData, keyed::ByNumber};

/// Its callback was begun.
const BEGUN: u8 = 1;
/// Its caller has its terminal, or is about to get it: nobody sends another.
const ENDED: u8 = 2;
/// Its caller gave it up.
const CANCELLED: u8 = 4;
/// Its caller was told that results come one by one.
const STREAMS: u8 = 8;
/// Nothing more is said of it.
const SAID: u8 = 16;
/// Something waits until that is so.
const AWAITED: u8 = 32;

/// A call and its caller, as those see them who run, answer and cancel it. All calls of a caller
/// that cannot be cancelled are one: of them nothing is noted.
pub(crate) struct Invocation {
    pub(crate) caller: Arc<Caller>,
    can_be_cancelled: bool,
    /// All changes of it have one order, which decides who comes first: what begins the call, what
    /// ends it or what cancels it. What the first did happens before the others see that.
    state: AtomicU8,
    cancelled: Notify,
    /// What comes and goes in DATA.
    data: OnceLock<Arc<CallData>>,
    /// What is to be said when the answer, which is just on its way, has been said.
    before: Mutex<Option<Arc<LastWord>>>,
}

/// The end of a call is this one's to say, and has been said when this is dropped.
#[must_use = "what ends the call is said while this is kept"]
pub(crate) struct EndToSay<'a>(Option<&'a Invocation>);

impl Drop for EndToSay<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.0
            && call.state.fetch_or(SAID, AcqRel) & AWAITED != 0
        {
            drop(call.before.lock().take());
        }
    }
}

impl Invocation {
    /// Any call of a caller that cannot cancel it, or waits for no answer.
    pub(crate) fn of_any(caller: Arc<Caller>) -> Self {
        Self {
            caller,
            can_be_cancelled: false,
            state: AtomicU8::new(0),
            cancelled: Notify::new(),
            data: OnceLock::new(),
            before: Mutex::new(None),
        }
    }

    /// A call that wants an answer and whose caller can cancel it.
    fn new(caller: Arc<Caller>) -> Self {
        Self { can_be_cancelled: true, ..Self::of_any(caller) }
    }

    /// One of which a part comes or goes in DATA.
    pub(super) fn with_data(caller: Arc<Caller>, data: Arc<CallData>) -> Self {
        Self { data: OnceLock::from(data), ..Self::new(caller) }
    }

    /// Whether it is a call of its own, which goes on until its end is told.
    pub(crate) const fn can_be_cancelled(&self) -> bool {
        self.can_be_cancelled
    }

    pub(crate) fn data(&self) -> Option<&Arc<CallData>> {
        self.data.get()
    }

    /// The DATA of a call of its own; `new` makes it where nothing was to come or go. `None`: it is
    /// one of those of which nothing is noted.
    pub(crate) fn data_or(&self, new: impl FnOnce() -> Arc<CallData>) -> Option<&Arc<CallData>> {
        self.can_be_cancelled.then(|| self.data.get_or_init(new))
    }

    /// The callback is to run now. `false`: the caller gave the call up before.
    pub(crate) fn begin(&self) -> bool {
        !self.can_be_cancelled || self.state.fetch_or(BEGUN, AcqRel) & CANCELLED == 0
    }

    /// The callback is to run now, where its request was read: nobody else knows the call yet.
    pub(crate) fn begin_unknown(&self) {
        if self.can_be_cancelled {
            // Relaxed: whoever learns of the call later does so by a queue or a lock.
            self.state.store(BEGUN, Relaxed);
        }
    }

    /// The call is to be answered, while what is given is kept. `None`: it has ended for its
    /// caller.
    pub(crate) fn end(&self) -> Option<EndToSay<'_>> {
        if !self.can_be_cancelled {
            return Some(EndToSay(None));
        }
        if self.state.fetch_or(ENDED, AcqRel) & ENDED != 0 {
            return None;
        }
        if let Some(data) = self.data() {
            data.close();
        }
        Some(EndToSay(Some(self)))
    }

    /// Its results come one by one from now on. The time of each is known to its caller alone.
    pub(super) fn stream(&self) {
        self.state.fetch_or(STREAMS, AcqRel);
    }

    /// Something goes in DATA that was not to when the call came. `false`: it has ended for its
    /// caller. After `true`, what ends it sees that.
    pub(super) fn shows_data(&self) -> bool {
        // It runs. One of two changes of the state is behind the other, and sees what was before.
        self.state.fetch_or(BEGUN, AcqRel) & ENDED == 0
    }

    /// Whether they do.
    pub(super) fn streams(&self) -> bool {
        self.state.load(Acquire) & STREAMS != 0
    }

    /// The caller gave the call up. `false`: it has ended already.
    fn cancel(&self) -> bool {
        // Nothing more is said of it, but for what says this, and that says it first.
        let end = |state| (state & ENDED == 0).then_some(state | ENDED | CANCELLED | SAID);
        let cancels = self.state.fetch_update(AcqRel, Acquire, end).is_ok();
        if cancels {
            if let Some(data) = self.data() {
                // Before the word that it has ended: no DATA comes behind that.
                data.end();
            }
            self.cancelled.notify_waiters();
        }
        cancels
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.state.load(Acquire) & CANCELLED != 0
    }

    /// Whether nobody else sees this call any more.
    fn is_unseen(self: &Arc<Self>) -> bool {
        let is_unseen = Arc::strong_count(self) == 1;
        // What others did with it happened before they dropped it.
        fence(Acquire);
        is_unseen
    }

    /// Whether its caller has its end.
    pub(super) fn has_ended(&self) -> bool {
        self.state.load(Acquire) & ENDED != 0
    }

    /// Whether nothing more is said of it.
    fn is_over(self: &Arc<Self>) -> bool {
        self.is_unseen() || self.state.load(Acquire) & SAID != 0
    }

    /// Its caller has left: nothing is said of it any more, but for an answer that is just on its
    /// way. That is before this word.
    fn leave(&self, word: Option<&Arc<LastWord>>) {
        if self.cancel() {
            return;
        }
        let mut before = self.before.lock();
        if self.state.fetch_or(AWAITED, AcqRel) & SAID == 0 {
            *before = word.cloned();
        }
    }

    /// Waits until the caller gives the call up. Cancel safe.
    pub(crate) async fn cancelled(&self) {
        let notified = self.cancelled.notified();
        if !self.is_cancelled() {
            notified.await;
        }
    }

    /// Waits until the caller has given the call up and nothing of it will run. Cancel safe.
    pub(crate) async fn await_withdrawal(&self) {
        self.cancelled().await;
        if self.state.load(Acquire) & BEGUN != 0 {
            std::future::pending::<()>().await;
        }
    }
}

/// The most places for calls. With more open than that a call may find its place taken.
const PLACES: usize = 64;

/// The calls that came on one connection, did not end where they were read, and can be cancelled.
///
/// Only the connection's driver has it, so that a call enters without a lock, and nothing has to be
/// done when it ends. Numbers are consecutive, so the place that a call's number gives was most
/// often that of a call which has ended; that one then serves as the next that is read.
#[derive(Debug, Default)]
pub(crate) struct Invocations {
    next: Option<Arc<Invocation>>,
    /// As many as a power of two.
    places: Vec<Option<(CallId, Arc<Invocation>)>>,
    /// Calls whose place another open call has.
    others: Displaced,
}

/// Calls that have no place of their own, by their callers: one that leaves ends its own, and looks
/// at those of nobody else.
#[derive(Debug, Default)]
struct Displaced {
    by_caller: ByNumber<CallerId, ByNumber<CallId, Arc<Invocation>>>,
    /// How many calls there are.
    len: usize,
}

impl Displaced {
    fn insert(&mut self, (caller, id): (CallerId, CallId), call: Arc<Invocation>) {
        let before = self.by_caller.entry(caller).or_default().insert(id, call);
        self.len += usize::from(before.is_none());
    }

    fn get(&self, (caller, id): (CallerId, CallId)) -> Option<&Arc<Invocation>> {
        self.by_caller.get(&caller)?.get(&id)
    }

    fn take(&mut self, caller: CallerId) -> impl Iterator<Item = Arc<Invocation>> {
        let calls = self.by_caller.remove(&caller).unwrap_or_default();
        self.len -= calls.len();
        calls.into_values()
    }

    fn has_open(&self, caller: CallerId) -> bool {
        self.by_caller.get(&caller).is_some_and(|calls| calls.values().any(|call| !call.is_over()))
    }

    /// Forgets those that are over, and keeps room for so many.
    fn tidy(&mut self, most: usize) {
        self.len = 0;
        self.by_caller.retain(|_, calls| {
            calls.retain(|_, call| !call.is_over());
            calls.shrink_to(2 * calls.len());
            self.len += calls.len();
            !calls.is_empty()
        });
        // One busy moment must not stay with the connection for its life.
        self.by_caller.shrink_to(most);
    }
}

impl Invocations {
    /// A call that was just read and that its caller can cancel.
    #[inline]
    pub(crate) fn take(&mut self, caller: &Arc<Caller>) -> Arc<Invocation> {
        if let Some(mut call) = self.next.take() {
            if Arc::ptr_eq(&call.caller, caller) {
                return call;
            }
            if let Some(unseen) = Arc::get_mut(&mut call) {
                unseen.caller = Arc::clone(caller);
                return call;
            }
        }
        Arc::new(Invocation::new(Arc::clone(caller)))
    }

    /// A call has ended. If nobody sees it any more it is the next that is read.
    pub(crate) fn give(&mut self, call: Arc<Invocation>) {
        if call.data.get().is_none() && call.is_unseen() {
            // Relaxed: nobody else sees it.
            call.state.store(0, Relaxed);
            self.next = Some(call);
        }
    }

    /// A call goes on elsewhere: it can be cancelled until it has ended.
    ///
    /// Only a caller that breaks the rules uses the number of an open call; the older one can then
    /// not be cancelled.
    pub(crate) fn enter(&mut self, id: CallId, call: Arc<Invocation>) {
        let key = (call.caller.id, id);
        loop {
            let is_full = self.places.len() == PLACES;
            let is_free = |(other, call): &(CallId, Arc<Invocation>)| call.is_over() || (call.caller.id, *other) == key;
            match self.place(key) {
                Some(place) if place.as_ref().is_none_or(is_free) => {
                    if let Some((_, over)) = place.replace((id, call)) {
                        self.give(over);
                    }
                    return;
                }
                Some(_) if is_full => {
                    self.others.insert(key, call);
                    return;
                }
                _ => self.grow(),
            }
        }
    }

    fn place(&mut self, (caller, id): (CallerId, CallId)) -> Option<&mut Option<(CallId, Arc<Invocation>)>> {
        #[expect(clippy::cast_possible_truncation, reason = "only the lowest bits count")]
        let at = usize::from(id.0).wrapping_add(caller.0 as usize) & self.places.len().saturating_sub(1);
        self.places.get_mut(at)
    }

    /// Twice as many places, in which those that are open have different ones again.
    fn grow(&mut self) {
        let places = (2 * self.places.len()).clamp(1, PLACES);
        let before = std::mem::take(&mut self.places);
        self.places.resize_with(places, || None);
        for (id, call) in before.into_iter().flatten().filter(|(_, call)| !call.is_over()) {
            if let Some(place) = self.place((call.caller.id, id)) {
                *place = Some((id, call));
            }
        }
    }

    /// Forgets calls that have ended, once more that found their place taken are remembered than
    /// twice as many as are `open`.
    pub(crate) fn tidy(&mut self, open: usize) {
        if self.others.len > 2 * open {
            self.others.tidy(2 * open);
        }
    }

    /// A caller gave one of its calls up. `false`: it is not open, so its terminal is on its way.
    pub(crate) fn cancel(&mut self, caller: CallerId, id: CallId) -> bool {
        self.get(caller, id).is_some_and(|call| call.cancel())
    }

    /// A caller has left: what has not begun does not run any more, and nothing is said any more
    /// but what is just on its way, which is before this word.
    pub(crate) fn leave(&mut self, caller: CallerId, word: Option<&Arc<LastWord>>) {
        for place in &mut self.places {
            if let Some((_, call)) = place.take_if(|(_, call)| call.caller.id == caller) {
                call.leave(word);
            }
        }
        self.others.take(caller).for_each(|call| call.leave(word));
    }

    /// Whether a call of this caller is open, of those that can be cancelled. What was said of the
    /// others happened before.
    pub(crate) fn has_open(&self, caller: CallerId) -> bool {
        let mut placed = self.places.iter().flatten();
        placed.any(|(_, call)| call.caller.id == caller && !call.is_over()) || self.others.has_open(caller)
    }

    /// What comes and goes in DATA of a call that has not ended.
    pub(super) fn data(&mut self, caller: CallerId, id: CallId) -> Option<&CallData> {
        let call = self.get(caller, id)?;
        // Relaxed: one that ends right now is as good as one that ends after this.
        call.data().map(|data| &**data).filter(|_| call.state.load(Relaxed) & ENDED == 0)
    }

    fn get(&mut self, caller: CallerId, id: CallId) -> Option<&Invocation> {
        let has_place =
            matches!(self.place((caller, id)), Some(Some((at, call))) if (call.caller.id, *at) == (caller, id));
        if has_place {
            return self.place((caller, id))?.as_ref().map(|(_, call)| &**call);
        }
        self.others.get((caller, id)).map(|call| &**call)
    }
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("caller", &self.caller.name)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "invocation_tests.rs"]
mod tests;
