//! One member of a Router, as all connections see and remember it.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use daffi_wire::{CallId, Level, MethodName, NodeName};
use parking_lot::Mutex;

use super::{later::Later, sender::Sender, telling::Heard};
use crate::{
    conn::Conn,
    keyed::Names,
    session::{CreditPool, OpenCalls},
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
    /// It bears its name in the table.
    named: AtomicBool,
    methods: ArcSwap<Names<MethodName>>,
    /// Counts changes of `methods`.
    exposed: AtomicU64,
    calls: Mutex<OpenCalls>,
    /// What all senders together may have outstanding with it, as far as the Router has to say that
    /// in its place.
    pub(super) pool: Mutex<CreditPool>,
    /// What it was told of the others.
    pub(super) heard: Heard,
    /// Those with flows that are to begin when this member has heard of them.
    unheard: Mutex<Vec<Weak<Sender>>>,
    /// Ends of its calls that it is told when it takes what waits.
    pub(super) later: Later,
}

impl Peer {
    /// `pool`: of a receiver of level 3, in what requests cost.
    pub(super) fn new(name: NodeName, conn: Arc<Conn>, methods: &[MethodName], pool: usize) -> Arc<Self> {
        Arc::new(Self {
            pool: Mutex::new(CreditPool::new(pool as u64)),
            name,
            conn,
            named: AtomicBool::new(false),
            methods: ArcSwap::from_pointee(methods.iter().cloned().collect()),
            exposed: AtomicU64::new(0),
            calls: Mutex::default(),
            heard: Heard::default(),
            unheard: Mutex::default(),
            later: Later::default(),
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

    pub(super) fn expose(&self, methods: &[MethodName]) {
        self.methods.store(Arc::new(methods.iter().cloned().collect()));
        // Release: storing the methods happens before any load of the new version, so who knows it
        // finds these methods or later ones.
        self.exposed.fetch_add(1, Ordering::Release);
    }

    /// Takes over the calls of an older connection of the same name, which may still be answered.
    pub(super) fn inherit(&self, calls: OpenCalls) {
        *self.calls.lock() = calls;
    }

    /// Remembers `sender`, a flow of which begins when this member was told of it.
    pub(super) fn introduce_later(&self, sender: &Arc<Sender>) {
        let mut unheard = self.unheard.lock();
        // Of those that have gone nothing is kept.
        unheard.retain(|other| other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), Arc::as_ptr(sender)));
        unheard.push(Arc::downgrade(sender));
    }

    pub(super) fn has_unheard(&self) -> bool {
        !self.unheard.lock().is_empty()
    }

    pub(super) fn take_unheard(&self) -> Vec<Arc<Sender>> {
        let unheard = std::mem::take(&mut *self.unheard.lock());
        unheard.iter().filter_map(Weak::upgrade).collect()
    }

    /// Opens a call of this member to `receiver`. Gives the number under which it
    /// travels.
    pub(super) fn open_call(&self, id: CallId, receiver: &Self) -> Option<CallId> {
        self.calls.lock().open(id, receiver.id())
    }

    /// Marks an open call that this member gives up for the first time. Gives the number under
    /// which it travels, and the connection of its receiver.
    pub(super) fn cancel_call(&self, id: CallId) -> Option<(CallId, u64)> {
        self.calls.lock().cancel(id)
    }

    /// Notes that this member waits for the answer to a call no more. The receiver may still
    /// answer: the number rests.
    pub(super) fn give_up_call(&self, id: CallId) {
        self.calls.lock().give_up(id);
    }

    /// Completes a call when a reply came on the connection `receiver`, or none will. Gives the
    /// caller's number; `None`: nobody waits for it.
    pub(super) fn complete_call(&self, number: CallId, receiver: u64) -> Option<CallId> {
        self.calls.lock().complete(number, receiver)
    }

    /// Ends the calls to a receiver that left, and gives their numbers.
    pub(super) fn end_calls_to(&self, receiver: u64) -> Vec<CallId> {
        self.calls.lock().end_receiver(receiver)
    }

    pub(super) fn open_calls(&self) -> usize {
        self.calls.lock().count_waiting()
    }

    /// Closes the calls of a connection that ended. Gives what receivers may still answer to its
    /// name.
    pub(super) fn close_calls(&self) -> OpenCalls {
        self.calls.lock().close()
    }
}
