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
    data::{CallData, CallEnd, FlowError, Gathered, Gathering},
    error::Disconnected,
    session::Completed,
};

/// The open calls of which a part comes or goes in DATA, by their number.
#[derive(Debug, Default)]
pub(crate) struct OpenStreams {
    calls: Mutex<FxHashMap<CallId, Stream>>,
    /// Those of them that did not ask for it. Relaxed: who waits for a call learns of it by the
    /// session's lock.
    unasked: AtomicUsize,
}

#[derive(Debug)]
struct Stream {
    receiver: NodeName,
    data: Arc<CallData>,
    is_asked: bool,
}

impl OpenStreams {
    /// `is_asked`: the call itself said that a part of it is DATA.
    pub(crate) fn add(&self, id: CallId, receiver: &NodeName, data: Arc<CallData>, is_asked: bool) {
        self.unasked.fetch_add(usize::from(!is_asked), Relaxed);
        let before = self.calls.lock().insert(id, Stream { receiver: receiver.clone(), data, is_asked });
        self.note_removed(before.as_ref());
    }

    pub(crate) fn remove(&self, id: CallId) -> Option<Arc<CallData>> {
        let removed = self.calls.lock().remove(&id);
        self.note_removed(removed.as_ref());
        removed.map(|stream| stream.data)
    }

    fn note_removed(&self, removed: Option<&Stream>) {
        if removed.is_some_and(|stream| !stream.is_asked) {
            self.unasked.fetch_sub(1, Relaxed);
        }
    }

    /// Whether a call may be here that did not ask for it.
    pub(crate) fn has_unasked(&self) -> bool {
        self.unasked.load(Relaxed) > 0
    }

    /// The call that a frame of its receiver is about.
    fn get(&self, frame: &Frame) -> Option<Arc<CallData>> {
        let open = self.calls.lock();
        let stream = open.get(&frame.header().id()).filter(|stream| frame.is_from(&stream.receiver))?;
        Some(Arc::clone(&stream.data))
    }
}

impl ClientConn {
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
        let Some(total) = says.body else {
            let Some(call) = call else {
                // Nobody asked for results one by one: it ends the call, as any reply does.
                return self.session.lock().in_flight.complete(frame);
            };
            call.begin();
            return None;
        };
        let (id, format) = (frame.header().id(), frame.header().format(self.conn.level()));
        if !self.session.lock().in_flight.answer_follows(id, frame.transmitter()) {
            return None;
        }
        let receiver = NodeName::new(frame.transmitter(), &self.limits).ok()?;
        frame.take_extensions().ok()?;
        let call = call.unwrap_or_else(|| {
            let call = Arc::new(CallData::new(format, None, None, None));
            self.streams.add(id, &receiver, Arc::clone(&call), false);
            call
        });
        if call.begin_result(&frame, total) {
            return None;
        }
        let begun = self.gather(&call, (id, &receiver), frame, total);
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
            limits: self.limits,
        }
    }

    /// A call fails at this end, and its receiver hears that nobody waits.
    fn fail_own(&self, call: &CallData, (id, receiver): (CallId, &NodeName), fault: FlowError) -> Option<Completed> {
        call.fail(fault);
        self.cancel(id, receiver, CancelReason::Dropped);
        self.session.lock().in_flight.fail(id)
    }

    fn take_result(&self, call: Option<&CallData>, frame: Frame) -> Result<Option<Completed>, Disconnected> {
        let from = frame.transmitter().to_owned();
        let data = Data::read(frame)?;
        let (id, ends) = (data.id, data.end == DataEnd::Direction);
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
