//! The future of an open call.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use daffi_wire::{CallId, CancelReason, Frame, Level, NodeName};

use super::ClientConn;
use crate::{
    data::{CallData, FlowError},
    error::CallError,
    session::Outcome,
};

/// An open call. Dropped before its answer, it tells the receiver so, and lets its number rest
/// until the answer comes or the word that there will be none.
#[derive(Debug)]
pub(crate) struct PendingReply {
    conn: Arc<ClientConn>,
    pub(crate) id: CallId,
    receiver: NodeName,
    sent: bool,
    /// Its arguments or results come one by one.
    streams: bool,
    /// The caller's task is known, and is woken for all that happened since: at first there is
    /// nothing to look at.
    fresh: bool,
}

impl PendingReply {
    /// `fresh`: the caller's task is known.
    pub(super) const fn new(conn: Arc<ClientConn>, id: CallId, receiver: NodeName, fresh: bool) -> Self {
        Self { conn, id, receiver, sent: false, streams: false, fresh }
    }

    /// Arguments or results of the call come one by one: its request says so, and was not sent yet.
    pub(crate) fn stream(&mut self, data: Arc<CallData>) {
        self.streams = true;
        self.conn.session.lock().in_flight.mark_streams(self.id);
        self.conn.streams.add(self.id, &self.receiver, data, true);
    }

    /// Notes that the request is on its way: from now on an answer may come.
    pub(crate) fn mark_sent(&mut self) {
        self.sent = true;
    }

    pub(crate) const fn conn(&self) -> &Arc<ClientConn> {
        &self.conn
    }

    pub(crate) const fn receiver(&self) -> &NodeName {
        &self.receiver
    }

    /// What comes and goes of the call in DATA: it asked for that, or its answer is large.
    fn take_data(&self) -> Option<Arc<CallData>> {
        if self.streams || self.conn.streams.has_unasked() { self.conn.streams.remove(self.id) } else { None }
    }

    pub(crate) fn level(&self) -> Level {
        self.conn.conn.level()
    }

    /// How the call ended: by a reply, or with the last of its results. Cancel safe.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, CallError>> {
        if std::mem::take(&mut self.fresh) {
            return Poll::Pending;
        }
        let (outcome, was_full) = {
            let in_flight = &mut self.conn.session.lock().in_flight;
            let was_full = !in_flight.has_free();
            (ready!(in_flight.poll(self.id, cx)), was_full)
        };
        let data = self.take_data();
        if let Some(data) = &data {
            // Nobody takes items any more; what came is still to be read.
            data.stop_sending();
        }
        // The number is free already: nothing is left to give up.
        self.id = CallId::NONE;
        self.conn.on_number_free(was_full);
        if let Some(fault) = data.as_deref().and_then(CallData::fault) {
            return Poll::Ready(Err(call_error(fault)));
        }
        Poll::Ready(match outcome {
            Some(Outcome::Reply(frame)) => Ok(Some(frame)),
            Some(Outcome::AllCame) => Ok(None),
            Some(Outcome::ReceiverGone) => {
                Err(CallError::ReceiverGone { receiver: self.receiver.to_string(), method: String::new() })
            }
            None => Err(self.conn.closed_error()),
        })
    }
}

impl Future for PendingReply {
    type Output = Result<Frame, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Only results that come one by one end without a reply.
        let ended = ready!(self.poll_end(cx));
        Poll::Ready(ended.and_then(|reply| reply.ok_or_else(|| self.conn.closed_error())))
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.conn.picker.on_end(&self.receiver);
        if self.id == CallId::NONE {
            return;
        }
        let mut reason = CancelReason::Dropped;
        if let Some(data) = self.take_data() {
            if data.inflow.is_some() {
                reason = CancelReason::EnoughResults;
            }
            // Before the word that nobody waits: no DATA comes behind that.
            data.end();
        }
        let (freed, was_full, worn) = {
            let in_flight = &mut self.conn.session.lock().in_flight;
            let was_full = !in_flight.has_free();
            (in_flight.give_up(self.id, self.sent), was_full, in_flight.is_worn())
        };
        if worn {
            self.conn.worn.notify_one();
        }
        if freed {
            self.conn.on_number_free(was_full);
        } else if self.sent {
            self.conn.cancel(self.id, &self.receiver, reason);
        }
    }
}

fn call_error(fault: &FlowError) -> CallError {
    match fault {
        FlowError::BodyTooLarge { .. } => CallError::BodyTooLarge(fault.to_string()),
        _ => CallError::Items { method: String::new(), reason: fault.to_string() },
    }
}
