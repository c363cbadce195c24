//! The way of a written request: number, outbox, and back.

use std::{sync::Arc, task::Waker, time::Duration};

use daffi_serde::{Body, FormatSet, RemoteError, Returned, SerdeError};
use daffi_wire::{CallId, FormatId, Frame, Kind, Level, NodeName};
use tokio::time::Instant;

use super::{parts::Rest, pending_reply::PendingReply, progress::Progress, request::WrittenRequest};
use crate::{
    client::{ClientConn, Gone, Paid, Style},
    conn::Class,
    data::CallData,
    error::{ANY_MEMBER, CallError, WaitedFor},
    refusal::Refusal,
};

/// Takes a number and queues the request. Returns `Ok(None)`, and has done nothing, if the call
/// would have to wait for a number or for room.
///
/// Most calls go this way, which needs no state of a future. The answer has to be awaited at once,
/// by the task that `waker` wakes.
pub(super) fn send_now(
    conn: &Arc<ClientConn>,
    receiver: &NodeName,
    written: &mut WrittenRequest,
    waker: &Waker,
) -> Result<Option<PendingReply>, CallError> {
    if written.frame.is_large() || written.has_rest() {
        return Ok(None);
    }
    let Some(mut pending) = PendingReply::open_now(conn, receiver, waker) else { return Ok(None) };
    written.set_number(pending.id);
    if !queue_now(conn, written)? {
        return Ok(None);
    }
    pending.mark_sent();
    Ok(Some(pending))
}

/// Queues the request of a call that has its number, and waits where there is no room. `deadline`:
/// when the caller gives up. Cancel safe: dropped, it has queued all of the request or nothing.
pub(super) async fn send(
    mut pending: PendingReply,
    mut written: WrittenRequest,
    deadline: Option<Instant>,
    progress: &mut Progress,
) -> Result<PendingReply, CallError> {
    progress.set_numbered();
    // What it waits for room is not taken off: then its receiver gives up later than its caller.
    written.set_deadline(deadline);
    let rest = written.take_rest().map(|rest| Rest::open(&mut pending, written.format(), rest));
    queue(pending.conn(), &written.with_number(pending.id)).await?;
    pending.mark_sent();
    if let Some(rest) = rest {
        rest.send();
    }
    Ok(pending)
}

/// Queues a request that nobody answers. Returns `Ok(false)`, and has done nothing, if it would
/// have to wait.
pub(super) fn send_nowait_now(
    conn: &Arc<ClientConn>,
    receiver: &NodeName,
    written: &mut WrittenRequest,
    method: &str,
) -> Result<bool, CallError> {
    if written.frame.is_large() {
        return Ok(false);
    }
    let paid = conn.pay_now(receiver, Style::Nowait, written.payload);
    let Some(paid) = paid.map_err(|Gone| gone_error(conn, receiver, method))? else { return Ok(false) };
    written.set_number(conn.session.lock().in_flight.pass());
    let queued = queue_unanswered_now(conn, written)?;
    if queued {
        paid.spend();
    }
    Ok(queued)
}

/// Queues a request that nobody answers. Waits until the receiver takes it and until there is room.
/// Cancel safe: dropped, it has queued all of the request or nothing.
pub(super) async fn send_nowait(
    conn: &Arc<ClientConn>,
    receiver: &NodeName,
    written: WrittenRequest,
    method: &str,
) -> Result<(), CallError> {
    let paid = conn.pay(receiver, Style::Nowait, written.payload).await;
    send_paid(conn, paid.map_err(|Gone| gone_error(conn, receiver, method))?, written).await
}

/// Queues a request that nobody answers and whose credit is paid. Cancel safe: dropped, it has
/// queued all of the request or nothing.
pub(super) async fn send_paid(conn: &Arc<ClientConn>, paid: Paid, written: WrittenRequest) -> Result<(), CallError> {
    let id = conn.session.lock().in_flight.pass();
    let written = written.with_number(id);
    while !queue_unanswered_now(conn, &written)? {
        conn.conn.outbox.room(Class::Own, written.len()).await;
    }
    paid.spend();
    Ok(())
}

/// The error of a request to a receiver that is not there any more.
pub(super) fn gone_error(conn: &ClientConn, receiver: &NodeName, method: &str) -> CallError {
    conn.end_error()
        .unwrap_or_else(|| CallError::ReceiverGone { receiver: receiver.to_string(), method: method.to_owned() })
}

/// Queues a written request. Returns `Ok(false)` if there is no room.
fn queue_now(conn: &Arc<ClientConn>, written: &WrittenRequest) -> Result<bool, CallError> {
    conn.conn.send_parts(Class::Own, written.frame.get(), written.shared()).map_err(|_| conn.closed_error())
}

/// Queues a written request that nobody answers. Returns `Ok(false)` if there is no room.
fn queue_unanswered_now(conn: &Arc<ClientConn>, written: &WrittenRequest) -> Result<bool, CallError> {
    conn.conn.send_unanswered(written.frame.get(), written.shared()).map_err(|_| conn.closed_error())
}

/// Sends a request of which a part comes or goes in DATA, as `data` keeps it.
pub(super) async fn send_streaming(
    mut pending: PendingReply,
    mut written: WrittenRequest,
    deadline: Option<Instant>,
    data: impl FnOnce(&Arc<ClientConn>, &NodeName, CallId) -> Result<Arc<CallData>, CallError>,
    progress: &mut Progress,
) -> Result<(PendingReply, Arc<CallData>), CallError> {
    progress.set_numbered();
    let data = data(pending.conn(), pending.receiver(), pending.id)?;
    // Before it is sent: an answer may be quick.
    pending.stream(Arc::clone(&data));
    written.set_deadline(deadline);
    let rest = written.take_rest().map(|rest| Rest::of(&pending, Arc::clone(&data), rest));
    queue(pending.conn(), &written.with_number(pending.id)).await?;
    pending.mark_sent();
    if let Some(rest) = rest {
        rest.send();
    }
    Ok((pending, data))
}

async fn queue(conn: &Arc<ClientConn>, written: &WrittenRequest) -> Result<(), CallError> {
    while !queue_now(conn, written)? {
        conn.conn.outbox.room(Class::Own, written.len()).await;
    }
    Ok(())
}

/// The answer of one receiver, as it travelled.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) frame: Frame,
    pub(super) level: Level,
    /// A callback gave it, so that it refuses nothing, whatever the class of an error is called.
    pub(super) is_of_callback: bool,
    /// The timeout of the call.
    pub(super) timeout: Option<Duration>,
}

/// Waits for the answer to a request that was sent. Cancel safe.
pub(super) async fn receive(
    pending: &mut PendingReply,
    method: &str,
    timeout: Option<Duration>,
) -> Result<Received, CallError> {
    let level = pending.level();
    to_received(pending.await, level, method, timeout)
}

#[inline]
pub(super) fn to_received(
    answer: Result<Frame, CallError>,
    level: Level,
    method: &str,
    timeout: Option<Duration>,
) -> Result<Received, CallError> {
    match answer {
        Ok(mut frame) => {
            // Nodes of 3.0.1 refuse nothing. What one of this project refuses behind their Router
            // looks as what their callbacks raise.
            let mut is_of_callback = !level.at_least(Level::FOUR);
            if frame.header().has_extensions() && level.at_least(Level::FOUR) {
                is_of_callback = says_of_callback(&mut frame, method)?;
            }
            Ok(Received { frame, level, is_of_callback, timeout })
        }
        Err(error) => Err(name_method(error, method)),
    }
}

/// Whether an answer with extensions says that a callback gave it.
#[cold]
fn says_of_callback(frame: &mut Frame, method: &str) -> Result<bool, CallError> {
    // An answer may say more than a caller of one result asks for.
    let said = frame.take_extensions();
    said.map(|said| said.is_of_callback()).map_err(|source| CallError::Extensions { method: method.to_owned(), source })
}

/// The error with the method, which whoever waits for a number's answer does not know.
#[cold]
fn name_method(error: CallError, method: &str) -> CallError {
    match error {
        CallError::ReceiverGone { receiver, .. } => CallError::ReceiverGone { receiver, method: method.to_owned() },
        error => error,
    }
}

/// Reads an answer as a `R`, or as the receiver's error. `()` takes whatever the callback returned,
/// unread.
pub(super) fn read<R: Returned>(formats: &impl FormatSet, received: Received, method: &str) -> Result<R, CallError> {
    let Received { frame, level, .. } = received;
    if frame.kind() != Kind::Response {
        return Err(read_failure(formats, Received { frame, ..received }, method));
    }
    if let Ok(nothing) = castaway::cast!((), R) {
        return Ok(nothing);
    }
    let (format, text) = (frame.header().format(level), frame.header().is_text());
    let result = formats.decode_result(format, &Body { bytes: frame.into_payload(), text });
    result.map_err(|source| CallError::Decode { method: method.to_owned(), source })
}

/// The error of a call that was answered by one.
#[cold]
fn read_failure(formats: &impl FormatSet, received: Received, method: &str) -> CallError {
    let Received { frame, level, is_of_callback, timeout } = received;
    let (format, text) = (frame.header().format(level), frame.header().is_text());
    let error = match read_error(formats, format, &Body { bytes: frame.payload_bytes(), text }) {
        Ok(error) => error,
        Err(source) => return CallError::Decode { method: method.to_owned(), source },
    };
    let receiver = frame.transmitter();
    if is_of_callback {
        return CallError::Remote { receiver: receiver.to_owned(), method: method.to_owned(), error };
    }
    if let (Some(after), Some(Refusal::DeadlineExceeded)) = (timeout, Refusal::of(&error)) {
        // The receiver was the first to see that the time is up.
        let waited_for = if receiver.is_empty() { WaitedFor::Receiver } else { WaitedFor::Answer };
        let receiver = if receiver.is_empty() { ANY_MEMBER } else { receiver }.to_owned();
        return CallError::Timeout { receiver, method: method.to_owned(), after, waited_for, last_failure: None };
    }
    match Refusal::call_error(error, receiver, method) {
        Ok(refused) => refused,
        Err(error) => CallError::Remote { receiver: receiver.to_owned(), method: method.to_owned(), error },
    }
}

/// Reads an error in that format, or in JSON, which every node reads whatever formats it has.
pub(super) fn read_error(formats: &impl FormatSet, format: FormatId, body: &Body) -> Result<RemoteError, SerdeError> {
    match formats.decode_error(format, body) {
        Err(SerdeError::UnknownFormat(FormatId::JSON)) => read_json_error(body),
        read => read,
    }
}

fn read_json_error(body: &Body) -> Result<RemoteError, SerdeError> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        args: (RemoteError,),
    }
    let envelope: Envelope = serde_json::from_slice(&body.bytes).map_err(|e| SerdeError::decode(FormatId::JSON, e))?;
    Ok(envelope.args.0)
}
