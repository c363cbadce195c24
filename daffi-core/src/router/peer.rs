//! One member of a Router, as all connections see and remember it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use daffi_wire::{CallId, Frame, Handshake, Level, MethodName, NodeName};
use parking_lot::Mutex;

use super::{
    calls::{
        beginning::ResultsWord,
        farewells::Farewells,
        later::Later,
        member_calls::{CompletedCall, LostCalls, MemberCalls},
        owed::Owed,
        streams::{NoStreamRoom, RoutedStreams, key},
        unanswered::CallLimit,
        uploads::{Upload, UploadPart},
    },
    choosing::load::Load,
    flow::{
        line::{Demand, ReceiverLine},
        room::RoomLine,
        sender::Sender,
    },
    members::{senders::Senders, suspects::FirstWord, telling::Heard},
    stats::{
        counted::{RoutedCallbacks, now},
        traffic::Traffic,
    },
    waiting::ready::Ready,
};
use crate::{
    conn::{Closed, Conn, Voice},
    data::Gathering,
    keyed::Names,
    session::{AskedPeer, CallNote, CreditPool, IDS, OpenCalls, OwedWords, Unanswered},
};

/// A member: its connection, what it exposes and the calls it made.
///
/// Connections remember members that have left, so little may hang on one: not what it sent, which
/// is its [`Sender`]'s.
///
/// [`Sender`]: super::flow::sender::Sender
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: NodeName,
    pub(super) conn: Arc<Conn>,
    /// It bears its name in the table. What was done to the table before happens before this is
    /// seen.
    named: AtomicBool,
    /// It asked who calls. Relaxed: it is set before others find the member.
    asks_identities: AtomicBool,
    /// It was logged that headers do not reach it. Relaxed: all that hangs on it is that line.
    dropped_headers: AtomicBool,
    methods: ArcSwap<Names<MethodName>>,
    /// Counts changes of `methods`.
    exposed: AtomicU64,
    calls: Mutex<CountedCalls>,
    /// Whether what it says to those whom it calls still goes to them.
    pub(super) voice: Arc<Voice>,
    /// Whether it has shown that it hears, where that is asked.
    pub(super) first_word: FirstWord,
    /// How often it was told that a caller left.
    pub(super) farewells: Farewells,
    /// What it has still to say about calls that were forgotten.
    pub(super) owed: Owed,
    /// Those who called this member or sent to it, as long as it has not left.
    callers: Mutex<Option<Senders>>,
    /// What all senders together may have outstanding with it, as far as the Router has to say that
    /// in its place.
    pub(super) pool: Mutex<CreditPool>,
    /// What it was told of the others.
    pub(super) heard: Heard,
    /// The senders with flows that are to begin when this member has heard of them.
    unheard: Mutex<Senders>,
    /// Ends of its calls that it is told when it takes what waits.
    pub(super) later: Later,
    pub(super) traffic: Traffic,
    pub(super) load: Load,
    /// The line of those who ask much of it.
    pub(super) line: ReceiverLine,
    /// Those whose requests wait until it takes what waits for it.
    pub(super) room: RoomLine,
    /// How much it asks of others.
    pub(super) asking: Demand,
    counted: Arc<RoutedCallbacks>,
}

impl Peer {
    /// `pool`: of a receiver of level 3, in what requests cost.
    pub(super) fn new(
        name: NodeName,
        conn: Arc<Conn>,
        methods: &[MethodName],
        pool: usize,
        counted: &Arc<RoutedCallbacks>,
        ready: &Arc<Ready>,
    ) -> Arc<Self> {
        Arc::new(Self {
            load: Load::new(conn.id, ready),
            pool: Mutex::new(CreditPool::new(pool as u64)),
            name,
            conn,
            named: AtomicBool::new(false),
            asks_identities: AtomicBool::new(false),
            dropped_headers: AtomicBool::new(false),
            methods: ArcSwap::from_pointee(methods.iter().cloned().collect()),
            exposed: AtomicU64::new(0),
            calls: Mutex::default(),
            voice: Arc::default(),
            first_word: FirstWord::new(now()),
            farewells: Farewells::default(),
            owed: Owed::default(),
            callers: Mutex::new(Some(Senders::default())),
            heard: Heard::default(),
            unheard: Mutex::default(),
            later: Later::default(),
            traffic: Traffic::new(),
            line: ReceiverLine::default(),
            room: RoomLine::default(),
            asking: Demand::default(),
            counted: Arc::clone(counted),
        })
    }

    pub(super) fn id(&self) -> u64 {
        self.conn.id
    }

    /// Whether it was logged that headers do not reach this member.
    pub(super) fn has_dropped_headers(&self) -> bool {
        self.dropped_headers.load(Ordering::Relaxed)
    }

    /// Headers do not reach this member. `true`: for the first time.
    pub(super) fn note_dropped_headers(&self) -> bool {
        !self.dropped_headers.swap(true, Ordering::Relaxed)
    }

    /// It as the receiver of one more call.
    pub(super) fn asked_for(&self) -> AskedPeer {
        AskedPeer::new(self.id(), self.load.mark())
    }

    /// Notes what a HANDSHAKE of the member asks for.
    pub(super) fn note_asked(&self, handshake: &Frame) {
        if self.is_level_four() && Handshake::says(handshake.method(), Handshake::TELL_IDENTITIES) {
            self.asks_identities.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn asks_identities(&self) -> bool {
        self.asks_identities.load(Ordering::Relaxed)
    }

    /// Whether a call could go to it at once, as far as is known.
    pub(super) fn takes_calls(&self) -> bool {
        !self.conn.outbox.is_full() && !self.conn.is_stopped() && !self.conn.is_ending() && !self.owed.is_any()
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
    pub(super) fn exposed_methods(&self) -> Arc<Names<MethodName>> {
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
        self.with_calls(|own| *own.open_mut() = calls);
    }

    /// Does something to the calls of this member. What they take then is counted as received from
    /// it.
    fn with_calls<T>(&self, change: impl FnOnce(&mut MemberCalls) -> T) -> T {
        let (done, ended) = {
            let counted = &mut *self.calls.lock();
            let done = change(&mut counted.calls);
            if let Some(given_up) = counted.calls.open_mut().take_given_up() {
                self.counted.lose(&given_up);
            }
            if let Some(stale) = counted.calls.take_stale() {
                // Under the lock: no DATA of a newer call of the number can have come.
                stale.into_iter().for_each(|stale| stale.forget(&self.conn));
            }
            let held = counted.calls.held_bytes();
            if held != counted.bytes {
                self.conn.inbound.account().change(counted.bytes, held);
                counted.bytes = held;
            }
            (done, counted.calls.take_ended())
        };
        if let Some(ended) = ended {
            // Without the lock: others may have its room.
            for body in ended {
                let _was_open = body.close();
            }
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

    /// Takes those who called this member or sent to it, when it has left and is called by nobody
    /// else.
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
    /// travels, and how many the receiver could still answer before; `Err`: why there is none.
    pub(super) fn open_call(
        self: &Arc<Self>,
        id: CallId,
        receiver: &Self,
        note: CallNote,
        limit: Option<&CallLimit>,
    ) -> Result<(CallId, usize), String> {
        if receiver.owed.is_any() {
            return Err(receiver.owed.refusal(&receiver.name));
        }
        let account = self.conn.inbound.account();
        self.with_calls(|all| {
            let calls = all.open();
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
            all.make_way(id);
            let calls = all.open_mut();
            let opened = match limit.filter(|_| !receiver.is_level_four()) {
                None => calls.open(id, receiver.asked_for(), note),
                Some(limit) => limit.open(calls, self, (id, note), receiver),
            };
            opened.map(|number| (number, calls.asked_before())).ok_or_else(|| {
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
        self.with_calls(|calls| limit.take(calls.open_mut(), self, now, steps))
    }

    /// Marks an open call that this member gives up for the first time. Gives the number under
    /// which it travels, and the connection of its receiver.
    pub(super) fn cancel_call(&self, id: CallId) -> Option<(CallId, u64)> {
        self.with_calls(|calls| calls.open_mut().cancel(id))
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

    /// Gives up a call whose answer cannot be passed on: the one that `receiver` knows under this
    /// number, and, if that is said, of which this body is put together. Gives the caller's number.
    pub(super) fn give_up_answer(&self, number: CallId, receiver: u64, body: Option<&Gathering>) -> Option<CallId> {
        self.with_calls(|calls| calls.give_up_answer(number, receiver, body))
    }

    /// Completes a call when a reply came on the connection `receiver`. `None`: nobody waits for
    /// it.
    pub(super) fn complete_call(&self, number: CallId, receiver: u64) -> Option<CompletedCall> {
        self.with_calls(|calls| calls.complete(number, receiver))
    }

    /// The rest of a large answer to a call of this member follows. Gives the caller's number of a
    /// call that waits for it; `None`: nobody does, or it was said before.
    pub(super) fn begin_answer(
        &self,
        number: CallId,
        receiver: &Self,
    ) -> Result<Option<CallId>, (CallId, NoStreamRoom)> {
        let ends = (&*self.conn, &receiver.conn, self.name.len() + receiver.name.len());
        self.with_calls(|calls| calls.begin_answer(number, ends))
    }

    /// The caller's number of a call of this member that waits for its answer.
    pub(super) fn awaits(&self, number: CallId, receiver: u64) -> Option<CallId> {
        self.calls.lock().calls.open().caller_of(number, receiver).filter(|(_, waits)| *waits).map(|(id, _)| id)
    }

    /// What the word of `receiver` that results follow is to the call of this member that it knows
    /// under this number.
    pub(super) fn results_word(&self, number: CallId, receiver: u64) -> ResultsWord {
        self.calls.lock().calls.results_word(number, receiver)
    }

    /// Whether a large answer of `receiver` may be put together for this member.
    pub(super) fn may_join(&self, number: CallId, receiver: u64) -> bool {
        self.calls.lock().calls.may_join(number, receiver)
    }

    /// A large answer is put together for this member from now on. `false`: nobody waits for it.
    pub(super) fn join_answer(&self, number: CallId, receiver: u64, body: &Arc<Gathering>) -> bool {
        self.with_calls(|calls| calls.join(number, receiver, Arc::clone(body)))
    }

    /// The arguments of a call of this member are put together from now on. `false`: it has left.
    pub(super) fn begin_upload(&self, id: CallId, upload: Upload) -> bool {
        self.with_calls(|calls| calls.upload(id, upload))
    }

    /// What is put together of the call that a frame of this member is about.
    pub(super) fn upload_of(&self, frame: &Frame) -> Option<UploadPart> {
        self.calls.lock().calls.upload_of(frame)
    }

    /// These arguments have come, or come no more. `false`: the call has ended before.
    pub(super) fn end_upload(&self, id: CallId, body: &Gathering) -> bool {
        self.with_calls(|calls| calls.end_upload(id, body))
    }

    /// What `receiver` sent of an answer for which nobody waits has come to its end. `false`: there
    /// is no such call.
    pub(super) fn end_unawaited(&self, number: CallId, receiver: u64) -> bool {
        self.with_calls(|calls| calls.open_mut().end_unawaited(number, receiver))
    }

    /// Whether `receiver` may still answer a call of this member under this number.
    pub(super) fn is_open_at(&self, number: CallId, receiver: u64) -> bool {
        self.calls.lock().calls.open().is_open_at(number, receiver)
    }

    /// `receiver` has said all that it will about the calls of which it was told so that their
    /// caller left.
    pub(super) fn end_told(&self, number: u32, receiver: u64) {
        self.with_calls(|calls| calls.open_mut().end_told(receiver, number));
    }

    /// Whether an answer of this member under that number is about a call that was forgotten, if
    /// nothing is known of it elsewhere. One of level 4 says so otherwise.
    pub(super) fn owes_answer(&self, caller: &Self, number: CallId) -> bool {
        self.owed.is_any() && !self.is_level_four() && !caller.is_open_at(number, self.id())
    }

    /// Calls were forgotten of which it has so much to say. Only under the lock of the members.
    pub(super) fn owe(&self, OwedWords { answers, farewells }: OwedWords) {
        if !self.is_level_four() {
            self.owed.add(answers, &self.name);
        } else if farewells > 0 {
            self.owed.add_told(&self.farewells, &self.name);
        }
    }

    /// Does something to those calls of this member of which a part passes in DATA.
    pub(super) fn with_streams<T>(&self, change: impl FnOnce(&mut RoutedStreams) -> T) -> T {
        self.with_calls(|calls| change(calls.streams_mut()))
    }

    /// Queues an item that passed, as long as its call is open: it comes behind no end, after which
    /// the number may be that of another.
    pub(super) fn queue_item(
        &self,
        receiver: &Conn,
        number: CallId,
        (item, cost): (&Frame, u64),
    ) -> Result<(), Closed> {
        let mut calls = self.calls.lock();
        match calls.calls.streams_mut().sends_items(number, receiver.id) {
            true => receiver.forward_data(key(self.id(), number, true), item, cost),
            false => Ok(()),
        }
    }

    /// Whether its calls are another's by now, or will be as soon as nobody else has the lock of
    /// the members.
    pub(super) fn has_closed_calls(&self) -> bool {
        self.calls.lock().calls.is_closed()
    }

    /// Ends the calls to a receiver that left.
    pub(super) fn end_calls_to(&self, receiver: u64) -> LostCalls {
        self.with_calls(|calls| calls.end_receiver(receiver))
    }

    pub(super) fn open_calls(&self) -> usize {
        self.calls.lock().calls.open().count_waiting()
    }

    /// Whom this member called, by connection, and how many calls each may still answer.
    pub(super) fn list_receivers(&self) -> Vec<(u64, usize)> {
        self.calls.lock().calls.open().list_receivers().collect()
    }

    /// The connection ended: what receivers may still answer to its name.
    pub(super) fn close_calls(&self, limit: Option<&CallLimit>) -> OpenCalls {
        self.with_calls(|calls| {
            if let Some(limit) = limit {
                limit.forget(calls.open_mut(), self.id());
            }
            calls.close()
        })
    }
}

/// The calls of a member, and the bytes that are counted for them.
#[derive(Debug, Default)]
struct CountedCalls {
    calls: MemberCalls,
    bytes: usize,
}
