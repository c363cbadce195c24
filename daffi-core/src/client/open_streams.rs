//! The open calls of a connection of which a part comes or goes in DATA.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use daffi_wire::{CallCredit, CallId, Cancel, CancelReason, Data, DataEnd, Frame, Kind, NodeName};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::ClientConn;
use crate::{
    conn::DataFrom,
    data::{CallData, CallEnd, FlowError, Gathered, Gathering},
    error::Disconnected,
    session::Completed,
    trace::is_on,
};

/// The open calls of which a part comes or goes in DATA, by their number.
#[derive(Debug, Default)]
pub(crate) struct OpenStreams {
    calls: Mutex<FxHashMap<CallId, Stream>>,
    /// How many they are, to be looked at for every answer. Relaxed: a call is here before its
    /// request is queued, and so before its answer comes.
    open: AtomicUsize,
    /// How many of them did not ask for it. Relaxed: who waits for a call learns of it by the
    /// session's lock.
    unasked: AtomicUsize,
}

#[derive(Debug)]
struct Stream {
    /// Unnamed where a Router chose it.
    receiver: NodeName,
    data: Arc<CallData>,
    is_asked: bool,
}

impl OpenStreams {
    /// `is_asked`: the call itself said that a part of it is DATA.
    pub(crate) fn add(&self, id: CallId, receiver: &NodeName, data: Arc<CallData>, is_asked: bool) {
        self.open.fetch_add(1, Relaxed);
        self.unasked.fetch_add(usize::from(!is_asked), Relaxed);
        let before = self.calls.lock().insert(id, Stream { receiver: receiver.clone(), data, is_asked });
        self.note_removed(before.as_ref());
    }

    pub(crate) fn remove(&self, id: CallId) -> Option<Arc<CallData>> {
        let removed = self.calls.lock().remove(&id);
        self.note_removed(removed.as_ref());
        removed.map(|stream| stream.data)
    }

    /// Whether the call of that number is this one.
    fn holds(&self, id: CallId, call: &CallData) -> bool {
        self.calls.lock().get(&id).is_some_and(|stream| std::ptr::eq(&*stream.data, call))
    }

    fn note_removed(&self, removed: Option<&Stream>) {
        if let Some(stream) = removed {
            self.open.fetch_sub(1, Relaxed);
            self.unasked.fetch_sub(usize::from(!stream.is_asked), Relaxed);
        }
    }

    /// Whether a call may be here that did not ask for it.
    pub(crate) fn has_unasked(&self) -> bool {
        self.unasked.load(Relaxed) > 0
    }

    /// The call that a frame of its receiver is about.
    fn get(&self, frame: &Frame) -> Option<Arc<CallData>> {
        if self.open.load(Relaxed) == 0 {
            return None;
        }
        let open = self.calls.lock();
        let is_of = |stream: &&Stream| frame.is_from(&stream.receiver) || stream.receiver.is_empty();
        let stream = open.get(&frame.header().id()).filter(is_of)?;
        Some(Arc::clone(&stream.data))
    }

    /// The connection has ended: whoever sends items hears of it, also if nobody looks at results.
    pub(super) fn stop_sending(&self) {
        let open: Vec<_> = self.calls.lock().values().map(|stream| Arc::clone(&stream.data)).collect();
        open.iter().for_each(|data| data.stop_sending());
    }
}

impl ClientConn {
    /// Nobody takes the items of a call any more that this frame answers. Its number is still its
    /// own: what stops is not sent under the number of another.
    #[inline]
    pub(super) fn stop_answered(&self, frame: &Frame) {
        if matches!(frame.kind(), Kind::Response | Kind::Error)
            && let Some(call) = self.streams.get(frame)
            && !self.session.lock().goes_on(frame)
        {
            call.stop_sending();
        }
    }

    /// Handles what a receiver says of a call of this node beside its reply. Gives what a call met
    /// that ends with it. What is about no open call is dropped.
    pub(super) fn take_own(self: &Arc<Self>, frame: Frame) -> Result<Option<Completed>, Disconnected> {
        let call = self.streams.get(&frame);
        match (frame.kind(), call) {
            (Kind::Response, call) => return Ok(self.take_first(call, frame)),
            (Kind::Credit, Some(call)) => call.on_credit(CallCredit::read(&frame)?),
            (Kind::Cancel, Some(call)) => {
                Cancel::read(&frame)?;
                call.stop_sending();
            }
            (Kind::Data, call) => return self.take_result(call.as_deref(), frame),
            _ => {}
        }
        Ok(None)
    }

    /// Results follow, or the rest of a result.
    fn take_first(self: &Arc<Self>, call: Option<Arc<CallData>>, mut frame: Frame) -> Option<Completed> {
        // Who sent it here has read it.
        let says = frame.in_data().ok().flatten().unwrap_or_default();
        if let Some(call) = call.as_ref().filter(|_| is_on()) {
            call.note_receiver(frame.transmitter());
        }
        let Some(total) = says.body else {
            let Some(call) = call else {
                return self.session.lock().in_flight.results_follow(frame);
            };
            call.begin();
            return None;
        };
        let (id, format) = (frame.header().id(), frame.header().format(self.conn.level()));
        let receiver = NodeName::new(frame.transmitter(), &self.limits).ok()?;
        frame.take_extensions().ok()?;
        let call = {
            // Whoever gives the call up takes this lock as well, and finds what is kept for it.
            let session = &mut *self.session.lock();
            if !session.in_flight.answer_follows(id, &receiver) {
                return None;
            }
            call.unwrap_or_else(|| {
                let call = Arc::new(CallData::new(format, None, None, None));
                self.streams.add(id, &receiver, Arc::clone(&call), false);
                call
            })
        };
        let begun = match call.begin_result(&frame, total) {
            Ok(true) => return None,
            Ok(false) => self.gather(&call, (id, &receiver), frame, total),
            Err(fault) => Err(fault),
        };
        begun.err().and_then(|fault| self.fail_own(&call, (id, &receiver), fault))
    }

    /// Begins to put a large result together.
    fn gather(
        self: &Arc<Self>,
        call: &Arc<CallData>,
        (id, receiver): (CallId, &NodeName),
        first: Frame,
        total: u64,
    ) -> Result<(), FlowError> {
        let limit = self.max_body;
        if total > limit as u64 {
            return Err(FlowError::BodyTooLarge { size: total, limit });
        }
        // What this node asked for itself is counted, and never refused.
        let reserved = self.conn.data_account().charge(Gathering::first_bytes(&first));
        let (own, weak, name) = (Arc::downgrade(self), Arc::downgrade(call), receiver.clone());
        let on_lost = move || {
            let (Some(own), Some(call)) = (own.upgrade(), weak.upgrade()) else { return };
            if let Some(Completed::Wake(waker)) = own.fail_own(&call, (id, &name), FlowError::Stalled) {
                waker.wake();
            }
        };
        let body = Gathering::begin(self.call_end(id, receiver), (first, total), reserved, on_lost)?;
        if !call.gather(&body) {
            return Err(FlowError::Malformed("a second body".into()));
        }
        body.line_up();
        Ok(())
    }

    /// This node's end of a call of its own.
    pub(crate) fn call_end(&self, id: CallId, receiver: &NodeName) -> CallEnd {
        CallEnd {
            conn: Arc::clone(&self.conn),
            me: self.name.clone(),
            other: receiver.clone(),
            id,
            is_caller: true,
            from: DataFrom::Own,
            limits: self.limits,
        }
    }

    /// A call fails at this end, and its receiver hears that nobody waits.
    fn fail_own(&self, call: &CallData, (id, receiver): (CallId, &NodeName), fault: FlowError) -> Option<Completed> {
        call.fail(fault);
        let session = &mut *self.session.lock();
        // Given up meanwhile, it has no number any more, or one that another call bears.
        if !self.streams.holds(id, call) {
            return None;
        }
        self.cancel(id, receiver, CancelReason::Dropped);
        session.in_flight.fail(id, receiver)
    }

    fn take_result(&self, call: Option<&CallData>, frame: Frame) -> Result<Option<Completed>, Disconnected> {
        let from = frame.transmitter().to_owned();
        let data = Data::read(frame)?;
        let (id, ends) = (data.id, data.end == DataEnd::Direction);
        if let Some(call) = call.filter(|_| ends) {
            // It ends both directions.
            call.stop_sending();
        }
        let gathered = match call {
            Some(call) => call.on_data(data)?,
            None => Gathered::Nothing,
        };
        match gathered {
            // Its room is others' once its reader has it.
            Gathered::Whole(frame, _room) => Ok(self.session.lock().in_flight.complete(frame)),
            Gathered::Broken(fault) => {
                let Ok(receiver) = NodeName::new(&from, &self.limits) else { return Ok(None) };
                let failed = call.and_then(|call| self.fail_own(call, (id, &receiver), fault));
                if ends {
                    // That was the end of it.
                    self.session.lock().in_flight.complete_stream(id, &from);
                }
                Ok(failed)
            }
            // After its last result can be read: who sees the end has all.
            Gathered::Nothing if ends => Ok(self.session.lock().in_flight.complete_stream(id, &from)),
            Gathered::Nothing => Ok(None),
        }
    }
}
