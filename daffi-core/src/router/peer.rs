//! One member of a Router, as all connections see and remember it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use daffi_wire::{CallId, Level, MethodName, NodeName};
use parking_lot::Mutex;

use super::{
    counted::RoutedCallbacks,
    later::Later,
    sender::Sender,
    senders::Senders,
    streams::{NoStreamRoom, RoutedStreams},
    telling::Heard,
    traffic::Traffic,
    unanswered::CallLimit,
};
use crate::{
    conn::Conn,
    keyed::Names,
    session::{CallNote, CreditPool, IDS, OpenCalls, Unanswered},
};

/// A member: its connection, what it exposes and the calls it made.
///
/// Connections remember members that have left, so little may hang on one: not what it sent, which
/// is its [`Sender`]'s.
///
/// [`Sender`]: super::sender::Sender
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: NodeName,
    pub(super) conn: Arc<Conn>,
    /// It bears its name in the table. What was done to the table before happens before this is
    /// seen.
    named: AtomicBool,
    methods: ArcSwap<Names<MethodName>>,
    /// Counts changes of `methods`.
    exposed: AtomicU64,
    calls: Mutex<CountedCalls>,
    /// Those who called this member or sent to it, as long as it has not left.
    callers: Mutex<Option<Senders>>,
    /// What all senders together may have outstanding with it, as far as the Router has to say that
    /// in its place.
    pub(super) pool: Mutex<CreditPool>,
    /// What it was told of the others.
    pub(super) heard: Heard,
    /// Those with flows that are to begin when this member has heard of them.
    unheard: Mutex<Senders>,
    /// Ends of its calls that it is told when it takes what waits.
    pub(super) later: Later,
    pub(super) traffic: Traffic,
    counted: Arc<RoutedCallbacks>,
}

impl Peer {
    /// `pool`: of a receiver of level 3, in what requests cost.
    pub(super) fn new(
        name: NodeName,
        conn: Arc<Conn>,
        methods: &[MethodName],
        pool: usize,
        counted: Arc<RoutedCallbacks>,
    ) -> Arc<Self> {
        Arc::new(Self {
            pool: Mutex::new(CreditPool::new(pool as u64)),
            name,
            conn,
            named: AtomicBool::new(false),
            methods: ArcSwap::from_pointee(methods.iter().cloned().collect()),
            exposed: AtomicU64::new(0),
            calls: Mutex::default(),
            callers: Mutex::new(Some(Senders::default())),
            heard: Heard::default(),
            unheard: Mutex::default(),
            later: Later::default(),
            traffic: Traffic::new(),
            counted,
        })
    }

    pub(super) fn id(&self) -> u64 {
        self.conn.id
    }

    pub(super) fn is_level_four(&self) -> bool {
        self.conn.level().at_least(Level::FOUR)
    }

    /// Notes that it entered the table.
    pub(super) fn enter_table(&self) {
        self.named.store(true, Ordering::Release);
    }

    /// Notes that it left the table, or that its name passed on: it exposes nothing any more.
    pub(super) fn leave_table(&self) {
        self.named.store(false, Ordering::Release);
        self.expose(&[]);
    }

    /// Whether the table still has it, for those who remember that it had.
    pub(super) fn is_named(&self) -> bool {
        self.named.load(Ordering::Acquire)
    }

    /// The callback of that name, if it is exposed.
    pub(super) fn callback(&self, method: &str) -> Option<MethodName> {
        self.methods.load().get(method).cloned()
    }

    /// The version of what it exposes: another number whenever that changes.
    pub(super) fn exposed_version(&self) -> u64 {
        self.exposed.load(Ordering::Acquire)
    }

    /// All that it exposes.
    pub(super) fn exposed(&self) -> Arc<Names<MethodName>> {
        self.methods.load_full()
    }

    pub(super) fn expose(&self, methods: &[MethodName]) {
        self.methods.store(Arc::new(methods.iter().cloned().collect()));
        // Release: storing the methods happens before any load of the new version, so who knows it
        // finds these methods or later ones.
        self.exposed.fetch_add(1, Ordering::Release);
    }

    /// Takes over the calls of an older connection of the same name, which may still be answered.
    pub(super) fn inherit(&self, calls: OpenCalls) {
        self.with_calls(|own| *own = calls);
    }

    /// Does something to the calls of this member. What they take then is counted as received from
    /// it.
    fn with_calls<T>(&self, change: impl FnOnce(&mut OpenCalls) -> T) -> T {
        self.with_all_calls(|open, _| change(open))
    }

    fn with_all_calls<T>(&self, change: impl FnOnce(&mut OpenCalls, &mut RoutedStreams) -> T) -> T {
        let calls = &mut *self.calls.lock();
        let done = change(&mut calls.open, &mut calls.streams);
        if let Some(given_up) = calls.open.take_given_up() {
            self.counted.lose(&given_up);
        }
        let held = calls.open.held_bytes() + calls.streams.held_bytes();
        if held != calls.counted {
            self.conn.inbound.account().change(calls.counted, held);
            calls.counted = held;
        }
        done
    }

    /// `caller` calls this member, or sends to it, and hears when it leaves. `false`: it has left.
    pub(super) fn remember(&self, caller: &Arc<Sender>) -> bool {
        let mut callers = self.callers.lock();
        let remembers = callers.as_mut().map(|callers| callers.add(caller));
        remembers.is_some()
    }

    /// Those who called this member or sent to it.
    pub(super) fn callers(&self) -> Vec<Arc<Sender>> {
        self.callers.lock().as_ref().map(Senders::present).unwrap_or_default()
    }

    /// The same, of a member that has left and is called by nobody else.
    pub(super) fn take_callers(&self) -> Vec<Arc<Sender>> {
        self.callers.lock().take().map(|callers| callers.present()).unwrap_or_default()
    }

    /// Remembers `sender`, a flow of which begins when this member was told of it.
    pub(super) fn introduce_later(&self, sender: &Arc<Sender>) {
        self.unheard.lock().add(sender);
    }

    pub(super) fn has_unheard(&self) -> bool {
        !self.unheard.lock().is_empty()
    }

    pub(super) fn take_unheard(&self) -> Vec<Arc<Sender>> {
        std::mem::take(&mut *self.unheard.lock()).present()
    }

    /// A call of this member to `receiver` is open from now on. Gives the number under which it
    /// travels; `Err`: why there is none.
    pub(super) fn open_call(
        self: &Arc<Self>,
        id: CallId,
        receiver: &Self,
        note: CallNote,
        limit: Option<&CallLimit>,
    ) -> Result<CallId, String> {
        let account = self.conn.inbound.account();
        self.with_calls(|calls| {
            if calls.grows() && !account.admits(calls.held_bytes()) {
                return Err(format!(
                    "{} calls of {} are open, which take {} bytes; as things stand all that was received from it may \
                     take {}, and takes {}",
                    calls.len(),
                    self.name,
                    calls.held_bytes(),
                    account.share(),
                    account.held_bytes()
                ));
            }
            let opened = match limit.filter(|_| !receiver.is_level_four()) {
                None => calls.open(id, receiver.id(), note),
                Some(limit) => limit.open(calls, self, (id, note), receiver),
            };
            opened.ok_or_else(|| {
                format!(
                    "{} has answered too few of the calls of {}: of the {IDS} numbers that those have, the rest is for \
                     others",
                    receiver.name, self.name
                )
            })
        })
    }

    /// Ends calls of this member that nobody answered for too long, as many as there are `steps`
    /// for.
    pub(super) fn take_unanswered(
        self: &Arc<Self>,
        limit: &CallLimit,
        now: Instant,
        steps: &mut usize,
    ) -> Vec<Unanswered> {
        self.with_calls(|calls| limit.take(calls, self, now, steps))
    }

    /// Marks an open call that this member gives up for the first time. Gives the number under
    /// which it travels, and the connection of its receiver.
    pub(super) fn cancel_call(&self, id: CallId) -> Option<(CallId, u64)> {
        self.with_calls(|calls| calls.cancel(id))
    }

    /// Notes that this member waits for the answer to a call no more. The receiver may still
    /// answer: the number rests.
    pub(super) fn give_up_call(&self, id: CallId) {
        self.with_calls(|calls| calls.give_up(id));
    }

    /// Ends a call to which no reply will come on the connection `receiver`. Gives the caller's
    /// number; `None`: nobody waits for it.
    pub(super) fn drop_call(&self, number: CallId, receiver: u64) -> Option<CallId> {
        self.complete_call(number, receiver).map(|completed| {
            if let Some(note) = completed.note {
                self.counted.lose(&[note]);
            }
            completed.id
        })
    }

    /// Completes a call when a reply came on the connection `receiver`. `None`: nobody waits for
    /// it.
    pub(super) fn complete_call(&self, number: CallId, receiver: u64) -> Option<CompletedCall> {
        self.with_all_calls(|open, streams| {
            let streamed = !streams.is_empty() && streams.is_of(number, receiver);
            if streamed {
                streams.end(number);
            }
            open.complete_noted(number, receiver).map(|(id, note)| CompletedCall { id, note, streamed })
        })
    }

    /// The rest of a large answer to a call of this member follows. Gives the caller's number of a
    /// call that waits for it; `None`: nobody does, or it was said before.
    pub(super) fn begin_answer(
        &self,
        number: CallId,
        receiver: &Self,
    ) -> Result<Option<CallId>, (CallId, NoStreamRoom)> {
        let ends = (&*self.conn, &*receiver.conn, self.name.len() + receiver.name.len());
        self.with_all_calls(|open, streams| {
            let Some((id, is_awaited)) = open.caller_of(number, receiver.id()) else { return Ok(None) };
            let begun = streams.begin_answer((id, number), ends, is_awaited);
            begun.map(|is_first| (is_first && is_awaited).then_some(id)).map_err(|no_room| (id, no_room))
        })
    }

    /// The caller's number of a call of this member that waits for its answer.
    pub(super) fn awaits(&self, number: CallId, receiver: u64) -> Option<CallId> {
        self.calls.lock().open.caller_of(number, receiver).filter(|(_, waits)| *waits).map(|(id, _)| id)
    }

    /// What `receiver` sent of an answer for which nobody waits has come to its end.
    pub(super) fn end_unawaited(&self, number: CallId, receiver: u64) {
        self.with_calls(|calls| calls.end_unawaited(number, receiver));
    }

    /// Does something to those calls of this member of which a part passes in DATA.
    pub(super) fn with_streams<T>(&self, change: impl FnOnce(&mut RoutedStreams) -> T) -> T {
        self.with_all_calls(|_, streams| change(streams))
    }

    /// Ends the calls to a receiver that left, and gives their numbers.
    pub(super) fn end_calls_to(&self, receiver: u64) -> Vec<CallId> {
        self.with_calls(|calls| calls.end_receiver(receiver))
    }

    pub(super) fn open_calls(&self) -> usize {
        self.calls.lock().open.count_waiting()
    }

    /// Whom this member called, by connection, and how many calls each may still answer.
    pub(super) fn asked(&self) -> Vec<(u64, usize)> {
        self.calls.lock().open.asked().collect()
    }

    /// The connection ended: what receivers may still answer to its name, and the connections of
    /// those whose answers it waited for.
    pub(super) fn close_calls(&self, limit: Option<&CallLimit>) -> (OpenCalls, BTreeSet<u64>) {
        self.with_all_calls(|calls, streams| {
            *streams = RoutedStreams::default();
            if let Some(limit) = limit {
                limit.forget(calls, self.id());
            }
            let awaited = calls.awaited().collect();
            (calls.close(), awaited)
        })
    }
}

/// A call to which a reply came.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompletedCall {
    /// The caller's number.
    pub(super) id: CallId,
    /// What was noted of it, unless its caller gave it up before.
    pub(super) note: Option<CallNote>,
    /// A part of it passed in DATA.
    pub(super) streamed: bool,
}

/// The open calls of a member, and what is counted for them.
#[derive(Debug, Default)]
struct CountedCalls {
    open: OpenCalls,
    /// Those of which a part passes in DATA. Their windows they take from the budget themselves.
    streams: RoutedStreams,
    counted: usize,
}
