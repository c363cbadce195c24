//! The open calls of a connection of which a part comes or goes in DATA.

use std::sync::Arc;

use daffi_wire::{CallCredit, CallId, Cancel, Data, DataEnd, Frame, Kind, NodeName};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::ClientConn;
use crate::{data::CallData, error::Disconnected, session::Completed};

/// The open calls of which a part comes or goes in DATA, by their number.
#[derive(Debug, Default)]
pub(super) struct OpenStreams(Mutex<FxHashMap<CallId, (NodeName, Arc<CallData>)>>);

impl OpenStreams {
    pub(super) fn add(&self, id: CallId, receiver: &NodeName, data: Arc<CallData>) {
        self.0.lock().insert(id, (receiver.clone(), data));
    }

    pub(super) fn remove(&self, id: CallId) -> Option<Arc<CallData>> {
        self.0.lock().remove(&id).map(|(_, data)| data)
    }

    /// The call that a frame of its receiver is about.
    fn get(&self, frame: &Frame) -> Option<Arc<CallData>> {
        let open = self.0.lock();
        open.get(&frame.header().id()).filter(|(receiver, _)| frame.is_from(receiver)).map(|(_, data)| Arc::clone(data))
    }
}

impl ClientConn {
    /// Handles what a receiver says of a call of this node beside its reply. Gives what a call met
    /// that ends with it. What is about no open call is dropped.
    pub(super) fn take_own(&self, frame: Frame) -> Result<Option<Completed>, Disconnected> {
        let call = self.streams.get(&frame);
        match (frame.kind(), call) {
            (Kind::Response, Some(call)) => call.begin(),
            // Nobody asked for results one by one: it ends the call, as any reply does.
            (Kind::Response, None) => return Ok(self.session.lock().in_flight.complete(frame)),
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

    fn take_result(&self, call: Option<&CallData>, frame: Frame) -> Result<Option<Completed>, Disconnected> {
        let from = frame.transmitter().to_owned();
        let data = Data::read(frame)?;
        let (id, ends) = (data.id, data.end == DataEnd::Direction);
        if let Some(call) = call {
            call.on_data(data)?;
        }
        // After its last result can be read: who sees the end has all.
        Ok(if ends { self.session.lock().in_flight.complete_stream(id, &from) } else { None })
    }
}
