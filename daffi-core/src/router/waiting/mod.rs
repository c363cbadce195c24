//! Calls that the Router holds until somebody takes them who exposes their callback.

pub(crate) mod ready;
pub(crate) mod releasing;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use daffi_transport::keep;
use daffi_wire::{CallId, Data, FIRST_CALL_WINDOW, Frame, Level, MethodName, Shown};
use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, task::yield_now, time::sleep_until};

use self::ready::{Ready, Sign};
use crate::{
    conn::Charge,
    deadline::later,
    error::{Disconnected, ProtocolError},
    refusal::Refusal,
    router::{
        Peer, RouterShared,
        calls::{
            forward::{Forwarder, NAME, Unroutable},
            streams::may_take,
        },
        choosing::Needs,
        flow::sender::Sender,
        stats::counted::now,
    },
    server::Rights,
    session::{CallLine, Denied, WaitingCalls, WaitingKey, routing},
};

/// What a call that waits takes beside its bytes and the name of its callback: its places in all
/// trees of those that wait, and in their map of lines where it has one for itself.
const WAITING_COST: usize = 768;

/// Calls that end without a pause because their time has passed: no more than what others wait for
/// who ask little.
const AT_ONCE: usize = 16;

/// The calls that wait, and what wakes who looks after them.
#[derive(Debug, Default)]
pub(crate) struct WaitingRoom {
    calls: Mutex<WaitingCalls<PatientCall>>,
    /// How many there are, so that others need not look while there are none. Relaxed: who comes to
    /// expose a callback, and who waits for it, both look into the directory of who exposes what.
    count: AtomicUsize,
    /// The first deadline has changed.
    changed: Notify,
    /// Signs that some of them may go.
    pub(crate) ready: Arc<Ready>,
}

/// A call that waits, and what came for it.
#[derive(Debug)]
pub(crate) struct PatientCall {
    pub(crate) sender: Arc<Sender>,
    pub(crate) frame: Frame,
    /// Since when it waits.
    pub(crate) since: tokio::time::Instant,
    pub(crate) data: Vec<Frame>,
    /// Parts of it come in DATA, for which room was taken.
    has_data: bool,
    /// What the data cost, of the first window.
    data_cost: u64,
    /// The version of the policy that let it in.
    policy: u64,
    /// Beside the numbers of its caller.
    _counted: Charge,
}

impl Drop for PatientCall {
    fn drop(&mut self) {
        self.sender.note_waits_no_more();
    }
}

impl WaitingRoom {
    /// Whether any call waits.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// What is done to the calls while nobody else does anything to them.
    pub(crate) fn lock(&self) -> WaitingLock<'_> {
        WaitingLock { calls: self.calls.lock(), waiting: self }
    }

    /// Lets the task that lets calls go know of what may concern some that wait.
    pub(crate) fn note(&self, sign: impl FnOnce() -> Sign) {
        if self.any() {
            self.ready.note(sign());
        }
    }
}

/// The calls that wait; counts them when it is given back.
pub(crate) struct WaitingLock<'a> {
    pub(crate) calls: MutexGuard<'a, WaitingCalls<PatientCall>>,
    waiting: &'a WaitingRoom,
}

impl Drop for WaitingLock<'_> {
    fn drop(&mut self) {
        let count = self.calls.len();
        if self.waiting.count.swap(count, Ordering::Relaxed) > 0 && count == 0 {
            self.waiting.ready.note_none();
        }
    }
}

impl Forwarder {
    /// Keeps a call that says that it waits, if there is a reason to: nobody can be given it, or
    /// others wait already for `found`, who could. `None`: it does not wait.
    pub(crate) fn wait(&self, frame: &Frame, found: Option<&Arc<Peer>>) -> Option<Result<(), Unroutable>> {
        // One that owes words gets no calls, whoever waits.
        let found = found.filter(|found| !found.owed.is_any());
        if !frame.header().has_extensions() || found.is_some() && !self.shared.waiting.any() {
            return None;
        }
        let ms = frame.waits_for_receiver().ok().flatten()?;
        let (shared, me) = (&self.shared, &self.me.peer);
        let limits = &shared.server.config.limits;
        let level_four = Needs::of(frame, limits).level_four;
        let line = CallLine { method: MethodName::new(frame.method(), limits).ok()?, level_four };
        if let Some(found) = found {
            shared.waiting.lock().calls.next_of(&line, found.id())?;
        }
        let call = match self.keep(frame) {
            Ok(call) => call,
            Err(why) => return Some(Err(why)),
        };
        let (key, due) = ((me.id(), frame.header().id()), later(Duration::from_millis(ms.into())).into_std());
        // Of two calls under one number the caller waits for the newer.
        me.give_up_call(key.1);
        let is_first = {
            let mut waiting = shared.waiting.lock();
            drop(waiting.calls.add(key, line.clone(), due, call));
            waiting.calls.next_due() == Some(due)
        };
        if is_first {
            shared.waiting.changed.notify_one();
        }
        // Somebody may have come to expose it, or this member or all may have ended, just before.
        let able = || shared.exposers.find(&line.method)?.1.choose(level_four, me.id(), || 0).map(Arc::clone);
        if let Some(able) = found.map(Arc::clone).or_else(able) {
            shared.waiting.ready.note(Sign::IsAwaited(able, line));
        }
        if !me.is_named() {
            shared.forget_waiting(key.0);
        }
        if shared.server.is_stopping() {
            shared.refuse_waiting();
        }
        Some(Ok(()))
    }

    /// Counts a call that is to wait.
    fn keep(&self, frame: &Frame) -> Result<PatientCall, Unroutable> {
        let me = &self.me.peer;
        self.rights.check_format(frame, Level::FOUR, Level::FOUR)?;
        routing::check_receiver(frame, Level::FOUR, &me.name, Level::FOUR)?;
        let outbox = &me.conn.outbox;
        if outbox.is_full() {
            return Err(Refusal::Overloaded.error(outbox.crowd(&me.name)).into());
        }
        let has_data =
            frame.in_data().ok().flatten().is_some_and(|says| says.body.is_some() || says.stream.items_follow);
        let window = if has_data { may_take(FIRST_CALL_WINDOW, frame.transmitter().len()) } else { 0 };
        let bytes = frame.as_bytes().len() + frame.method().len() + WAITING_COST + window;
        let account = me.conn.data_account();
        let counted = account.try_charge(bytes, now()).ok_or_else(|| {
            Refusal::Overloaded.error(format!(
                "a call of \"{}\" would have to wait, and its {bytes} bytes found no room: {} may hold {}, and holds {}",
                frame.method(),
                me.name,
                account.share(),
                account.held_bytes()
            ))
        })?;
        self.me.note_waits();
        Ok(PatientCall {
            sender: Arc::clone(&self.me),
            // The frame may be a small part of a read buffer, which must not wait with it.
            frame: keep(frame.clone()),
            since: tokio::time::Instant::now(),
            data: Vec::new(),
            has_data,
            data_cost: 0,
            policy: self.rights.version(),
            _counted: counted,
        })
    }

    /// Keeps DATA of a call of this member that waits. `false`: it does not.
    pub(crate) fn wait_with_data(&self, frame: &Frame, data: &Data) -> Result<bool, Disconnected> {
        if !self.me.has_waiting() {
            return Ok(false);
        }
        let mut waiting = self.shared.waiting.lock();
        let Some(call) = waiting.calls.get_mut((self.me.peer.id(), data.id)) else { return Ok(false) };
        if !call.has_data {
            // There is no room for it, and nobody would take it.
            return Ok(false);
        }
        call.data_cost += data.cost();
        if call.data_cost > u64::from(FIRST_CALL_WINDOW) {
            return Err(ProtocolError::Overrun { received: call.data_cost, limit: FIRST_CALL_WINDOW.into() }.into());
        }
        call.data.push(keep(frame.clone()));
        Ok(true)
    }

    /// Takes a call of this member back that waits. `false`: it does not.
    pub(crate) fn stop_waiting(&self, id: CallId) -> bool {
        let (shared, me) = (&self.shared, &self.me.peer);
        if !self.me.has_waiting() {
            return false;
        }
        let taken = shared.waiting.lock().calls.take((me.id(), id));
        if let Some(call) = &taken {
            let text =
                format!("{} gave the call up before anybody took it who exposes \"{}\"", me.name, call.frame.method());
            shared.refuse_call(me, id, "", call.frame.method(), &Refusal::Cancelled.error(text));
        }
        taken.is_some()
    }
}

impl RouterShared {
    /// Forgets a call that waits of a caller that uses its number for another.
    pub(crate) fn forget_waiting_call(&self, caller: &Sender, id: CallId) {
        if caller.has_waiting() {
            drop(self.waiting.lock().calls.take((caller.peer.id(), id)));
        }
    }

    /// Forgets the calls that wait of a caller that has left.
    pub(crate) fn forget_waiting(&self, caller: u64) {
        if self.waiting.any() {
            drop(self.waiting.lock().calls.take_caller(caller));
        }
    }

    /// Refuses all calls that wait: the Router is stopping.
    pub(crate) fn refuse_waiting(&self) {
        loop {
            let Some((key, CallLine { method, .. }, call)) = self.waiting.lock().calls.take_first() else { return };
            let text = format!("the router {} is stopping: {method} did not run", self.server.name);
            self.refuse_call(&call.sender.peer, key.1, "", &method, &Refusal::NodeStopping.error(text));
        }
    }

    /// Whether the policy still lets a call go that waited.
    pub(crate) fn check_waited(&self, call: &PatientCall) -> Result<(), Denied> {
        if self.server.guard.version() == call.policy {
            return Ok(());
        }
        let mut rights = Rights::new(Arc::clone(&call.sender.peer.conn));
        rights.renew(&self.server.guard);
        rights.check_connected()?;
        rights.check_call(&call.frame)?;
        rights.check_format(&call.frame, Level::FOUR, Level::FOUR)
    }

    /// Ends a call for which nobody had a place in time, and says why nobody had.
    fn refuse_overdue(&self, (caller, id): WaitingKey, line: &CallLine, call: &PatientCall) {
        let method = Shown::name(&line.method).at_most(NAME);
        let able = self.exposers.find(&line.method).map(|(_, able)| able);
        let can = |level_four| able.as_ref().is_some_and(|able| able.choose(level_four, caller, || 0).is_some());
        let why = if !can(false) {
            format!("nobody exposed \"{method}\"")
        } else if !can(line.level_four) {
            format!("nobody but daffi 3.0.1 nodes, which cannot read the call, exposed \"{method}\"")
        } else if call.sender.peer.conn.outbox.is_full() {
            let me = &call.sender.peer;
            format!("its caller took too little of what waits for it: {}", me.conn.outbox.crowd(&me.name))
        } else if let Some(owing) = able.as_ref().and_then(|able| able.all_owe(line.level_four, caller)) {
            owing.owed.refusal(&owing.name)
        } else {
            format!("others waited before it, and those who expose \"{method}\" took too few")
        };
        let text = format!("{why} within {:?}: it did not run", call.since.elapsed());
        self.refuse_call(&call.sender.peer, id, "", &line.method, &Refusal::DeadlineExceeded.error(text));
    }
}

/// Ends the calls for which nobody came in time.
pub(crate) async fn end_overdue(shared: Arc<RouterShared>) {
    loop {
        let next: Option<Instant> = shared.waiting.lock().calls.next_due();
        tokio::select! {
            () = shared.server.life.cut.cancelled() => return,
            () = shared.waiting.changed.notified() => continue,
            () = async { sleep_until(next.unwrap_or_else(now).into()).await }, if next.is_some() => {}
        }
        for _ in 0..AT_ONCE {
            let Some((key, line, call)) = shared.waiting.lock().calls.take_due(now()) else { break };
            shared.refuse_overdue(key, &line, &call);
        }
        yield_now().await;
    }
}
