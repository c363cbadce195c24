//! Where an open call waits: for its number, and then for its answer.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use daffi_wire::{CallId, CancelReason, Frame, Level, NodeName};

use super::progress::receiver_text;
use crate::{
    client::{ClientConn, CountedCall},
    data::{CallData, FlowError},
    error::{CallError, Disconnected},
    session::Outcome,
};

/// An open call. Dropped before its answer, it tells the receiver so, and lets its number rest
/// until the answer comes or the word that there will be none.
#[derive(Debug)]
pub(super) struct PendingReply {
    conn: Arc<ClientConn>,
    pub(super) id: CallId,
    receiver: NodeName,
    sent: bool,
    /// Its arguments or results come one by one.
    streams: bool,
    /// The caller's task is known, and is woken for all that happened since: at first there is
    /// nothing to look at.
    fresh: bool,
    counted: Option<CountedCall>,
}

impl PendingReply {
    /// Takes a number for a call to `receiver` that is to be awaited at once, by the task that
    /// `waker` wakes. `None`: there is none, or nobody answers any more.
    pub(super) fn open_now(conn: &Arc<ClientConn>, receiver: &NodeName, waker: &Waker) -> Option<Self> {
        let id = conn.take_number_now(receiver, waker)?;
        Some(Self::new(Arc::clone(conn), id, receiver.clone(), true))
    }

    /// Takes a number for a call to `receiver`; waits when all are in use. `None`: the connection
    /// was replaced meanwhile, so the call was not sent and can be made on the next one. Cancel
    /// safe.
    pub(super) async fn open(conn: Arc<ClientConn>, receiver: NodeName) -> Result<Option<Self>, CallError> {
        match conn.take_number(&receiver).await {
            Ok(id) => Ok(Some(Self::new(conn, id, receiver, false))),
            Err(CallError::Disconnected(Disconnected::Replaced)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    const fn new(conn: Arc<ClientConn>, id: CallId, receiver: NodeName, fresh: bool) -> Self {
        Self { conn, id, receiver, sent: false, streams: false, fresh, counted: None }
    }

    /// Counts it as a call of that callback, which ends with its answer.
    pub(super) fn count(&mut self, method: &str) {
        self.counted = Some(self.counted_call(method));
    }

    /// Counts it as a call of that callback that whoever may make it again ends: it is one call,
    /// however often it is sent.
    pub(super) fn counted_call(&self, method: &str) -> CountedCall {
        self.conn.called.begin(&self.receiver, method)
    }

    /// What it is counted as, as long as it has no answer.
    pub(super) const fn counted_mut(&mut self) -> &mut Option<CountedCall> {
        &mut self.counted
    }

    /// Arguments or results of the call come one by one: its request says so, and was not sent yet.
    pub(super) fn stream(&mut self, data: Arc<CallData>) {
        self.streams = true;
        self.conn.session.lock().in_flight.mark_streams(self.id);
        self.conn.streams.add(self.id, &self.receiver, data, true);
    }

    /// Notes that the request is on its way: from now on an answer may come.
    pub(super) fn mark_sent(&mut self) {
        self.sent = true;
    }

    pub(super) const fn conn(&self) -> &Arc<ClientConn> {
        &self.conn
    }

    /// Unnamed where a Router chooses it.
    pub(super) const fn receiver(&self) -> &NodeName {
        &self.receiver
    }

    /// The receiver as errors show it.
    pub(super) fn receiver_text(&self) -> String {
        receiver_text(Some(&self.receiver))
    }

    /// What comes and goes of the call in DATA: it asked for that, or its answer is large.
    fn take_data(&self) -> Option<Arc<CallData>> {
        if self.streams || self.conn.streams.has_unasked() { self.conn.streams.remove(self.id) } else { None }
    }

    pub(super) fn level(&self) -> Level {
        self.conn.conn.level()
    }

    /// How the call ended: by a reply, or with the last of its results. Cancel safe.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, CallError>> {
        Poll::Ready(match ready!(self.poll_outcome(cx)) {
            Ok(Outcome::Reply(frame)) => Ok(Some(frame)),
            Ok(Outcome::AllCame) => Ok(None),
            Ok(Outcome::ReceiverGone) => Err(self.gone_error()),
            Ok(Outcome::Closed) => Err(self.conn.closed_error()),
            Err(Broken(data)) => Err(self.fault_error(&data)),
        })
    }

    /// What became of the call, whose number is free then.
    #[inline]
    fn poll_outcome(&mut self, cx: &Context<'_>) -> Poll<Result<Outcome, Broken>> {
        if std::mem::take(&mut self.fresh) {
            return Poll::Pending;
        }
        let (outcome, was_full, data) = {
            let in_flight = &mut self.conn.session.lock().in_flight;
            let was_full = !in_flight.has_free();
            let outcome = ready!(in_flight.poll(self.id, cx));
            // Under the lock: the number is another call's from here on.
            (outcome, was_full, self.take_data())
        };
        // The number is free already: nothing is left to give up.
        self.id = CallId::NONE;
        if let (Some(data), Outcome::Closed | Outcome::ReceiverGone) = (&data, &outcome) {
            // Nobody takes items any more; what came is still to be read. An answer has said so
            // before it ended the call.
            data.stop_sending();
        }
        self.conn.on_number_free(was_full);
        if let Outcome::Reply(_) | Outcome::AllCame = outcome
            && let Some(counted) = self.counted.take()
        {
            counted.end();
        }
        Poll::Ready(match data {
            Some(data) if data.fault().is_some() => Err(Broken(data)),
            _ => Ok(outcome),
        })
    }

    #[cold]
    fn gone_error(&self) -> CallError {
        CallError::ReceiverGone { receiver: self.receiver_text(), method: String::new() }
    }

    #[cold]
    fn fault_error(&self, data: &CallData) -> CallError {
        data.fault().map_or_else(|| self.conn.closed_error(), call_error)
    }
}

/// What came in DATA could not be put together.
struct Broken(Arc<CallData>);

impl Future for PendingReply {
    type Output = Result<Frame, CallError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.poll_outcome(cx)) {
            Ok(Outcome::Reply(frame)) => Ok(frame),
            // Only results that come one by one end without a reply.
            Ok(Outcome::AllCame | Outcome::Closed) => Err(self.conn.closed_error()),
            Ok(Outcome::ReceiverGone) => Err(self.gone_error()),
            Err(Broken(data)) => Err(self.fault_error(&data)),
        })
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.conn.note_end(&self.receiver);
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
        let (freed, was_full, worn, late) = {
            let in_flight = &mut self.conn.session.lock().in_flight;
            let was_full = !in_flight.has_free();
            let freed = in_flight.give_up(self.id, self.sent);
            // Under the lock: an answer that begins to come just now finds the call given up, or
            // what is kept for it is found here.
            (freed, was_full, in_flight.is_worn(), self.take_data())
        };
        if let Some(data) = late {
            data.close();
        }
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
