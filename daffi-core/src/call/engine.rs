//! One call's way: receiver, format, frame, number, outbox, and back.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use daffi_serde::{Args, Body, FormatSet, Output, RemoteError, SerdeError};
use daffi_wire::{CallId, EncodeError, FormatId, Frame, FrameWriter, Header, Kind, Level, NodeName};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::CallOptions;
use crate::{
    client::{Choice, Client, ClientConn, ClientCore, Gone, Paid, PendingReply, Style},
    conn::Class,
    error::CallError,
    refusal::Refusal,
    scratch::Scratch,
    session::{IDS, Members},
};

/// A request that is written and has no number yet.
pub(super) struct Written {
    frame: Scratch,
    shared: Option<Bytes>,
    /// Bytes of the payload, wherever they are.
    pub(super) payload: usize,
}

impl Written {
    fn bytes(&self) -> usize {
        self.frame.get().len() + self.shared.as_ref().map_or(0, Bytes::len)
    }

    fn number(&mut self, id: CallId) {
        Header::renumber(self.frame.get_mut(), id);
    }

    /// Has its final number. A large frame is shared from here on rather than copied into the queue.
    fn numbered(mut self, id: CallId) -> Self {
        self.number(id);
        if self.shared.is_none() && self.frame.is_large() {
            self.shared = Some(std::mem::take(&mut self.frame).into_bytes());
        }
        self
    }
}

/// Chooses the receiver of a call to `method`.
pub(super) fn choose<'m>(
    shared: &ClientCore,
    members: &'m Members,
    method: &str,
    pinned: Option<&str>,
    key: Option<&str>,
) -> Result<&'m NodeName, CallError> {
    let candidates = members.exposing(method).map(|c| &c[..]).unwrap_or_default();
    let chosen = match pinned {
        Some(name) => candidates.iter().find(|c| c.as_str() == name),
        None => match candidates {
            [] => None,
            [only] => Some(only),
            several => {
                let picked = shared.picker.pick(&Choice { method, candidates: several, key });
                several.get(picked % several.len())
            }
        },
    };
    chosen.ok_or_else(|| CallError::ReceiverNotFound {
        method: method.to_owned(),
        receiver: pinned.map(ToOwned::to_owned),
    })
}

/// The format of a call: the one asked for, if the receiver can read it, else the default for that receiver.
pub(super) fn format_for(
    formats: &impl FormatSet,
    members: &Members,
    receiver: &NodeName,
    asked: Option<FormatId>,
) -> Result<FormatId, CallError> {
    if let Some(format) = asked.filter(|format| format.min_level() == Level::THREE) {
        return Ok(format);
    }
    let level = members.level(receiver);
    match asked {
        Some(format) if !level.at_least(format.min_level()) => {
            Err(CallError::FormatUnsupported { receiver: receiver.to_string(), format })
        }
        Some(format) => Ok(format),
        None => {
            let preferred = if level.at_least(Level::FOUR) {
                [FormatId::MSGPACK, FormatId::JSON, FormatId::PICKLE]
            } else {
                [FormatId::PICKLE, FormatId::MSGPACK, FormatId::JSON]
            };
            Ok(preferred.into_iter().find(|f| formats.contains(*f)).unwrap_or(FormatId::OPAQUE))
        }
    }
}

/// Writes a request, all but its number.
pub(super) fn write_request(
    shared: &ClientCore,
    receiver: &NodeName,
    method: &str,
    format: FormatId,
    wants_reply: bool,
    write: impl FnOnce(&mut Output<'_>) -> Result<(), SerdeError>,
) -> Result<Written, CallError> {
    let too_large = |source: EncodeError| CallError::TransmissionFailure { method: method.to_owned(), source };
    let mut frame = Scratch::take();
    let mut writer = FrameWriter::begin(frame.get_mut(), &shared.node.name, receiver, method).map_err(too_large)?;
    let mut out = Output::new(writer.body());
    write(&mut out).map_err(|source| CallError::Encode { method: method.to_owned(), source })?;
    let (payload, text) = (out.take_shared(), out.is_text());
    let header = Header::new(Kind::Request, CallId::NONE, format, text, wants_reply);
    let more = payload.as_ref().map_or(0, Bytes::len);
    let bytes = writer.payload_len() + more;
    writer.finish(header, more, &shared.node.config.limits).map_err(too_large)?;
    Ok(Written { frame, shared: payload, payload: bytes })
}

/// How far a call came at once.
pub(super) enum Now<T> {
    Done(T),
    /// It has to wait for a number, for room or for credit.
    Waits(Arc<ClientConn>, NodeName, Written),
    /// There is no connection, so there are no members to choose from.
    Unconnected,
}

/// Takes a number and queues the request. `Ok(None)`: one of them has to be waited for, and nothing happened.
///
/// The usual way: without the state of a future that waits for nothing. The answer has to be awaited at once, by the task
/// that `waker` wakes.
fn send_now(
    conn: &Arc<ClientConn>,
    receiver: &NodeName,
    written: &mut Written,
    waker: &Waker,
) -> Result<Option<PendingReply>, CallError> {
    if written.frame.is_large() {
        return Ok(None);
    }
    let Some(mut pending) = conn.open_now(receiver, waker) else { return Ok(None) };
    written.number(pending.id);
    if !queue_now(conn, written)? {
        return Ok(None);
    }
    pending.sent();
    Ok(Some(pending))
}

/// Takes a number and queues the request; waits for either. Cancel safe: nothing is sent, or all of it.
pub(super) async fn send(
    conn: Arc<ClientConn>,
    receiver: NodeName,
    written: Written,
    progress: Option<&mut Progress>,
) -> Result<PendingReply, CallError> {
    let mut pending = conn.open(receiver).await?;
    if let Some(progress) = progress {
        progress.numbered = true;
    }
    queue(pending.conn(), &written.numbered(pending.id)).await?;
    pending.sent();
    Ok(pending)
}

/// Queues a request that nobody answers. `Ok(false)`: that has to be waited for, and nothing happened.
fn send_nowait_now(
    conn: &Arc<ClientConn>,
    receiver: &NodeName,
    written: &mut Written,
    method: &str,
) -> Result<bool, CallError> {
    if written.frame.is_large() {
        return Ok(false);
    }
    let paid = conn.pay_now(receiver, Style::Nowait, written.payload);
    let Some(paid) = paid.map_err(|Gone| gone(conn, receiver, method))? else { return Ok(false) };
    written.number(conn.session.lock().in_flight.pass());
    let queued = queue_now(conn, written)?;
    if queued {
        paid.spend();
    }
    Ok(queued)
}

/// Queues a request that nobody answers, as far as the receiver takes it; waits for either. Cancel safe: nothing is sent, or
/// all of it.
pub(super) async fn send_nowait(
    conn: &Arc<ClientConn>,
    receiver: &NodeName,
    written: Written,
    method: &str,
) -> Result<(), CallError> {
    let paid = conn.pay(receiver, Style::Nowait, written.payload).await;
    send_paid(conn, paid.map_err(|Gone| gone(conn, receiver, method))?, written).await
}

/// Queues a request that nobody answers and that is paid for. Cancel safe: nothing is sent, or all of it.
pub(super) async fn send_paid(conn: &Arc<ClientConn>, paid: Paid, written: Written) -> Result<(), CallError> {
    let id = conn.session.lock().in_flight.pass();
    queue(conn, &written.numbered(id)).await?;
    paid.spend();
    Ok(())
}

/// The error of a request to a receiver that is not there any more.
pub(super) fn gone(conn: &ClientConn, receiver: &NodeName, method: &str) -> CallError {
    conn.ended()
        .unwrap_or_else(|| CallError::ReceiverGone { receiver: receiver.to_string(), method: method.to_owned() })
}

/// `Ok(false)`: there is no room.
fn queue_now(conn: &Arc<ClientConn>, written: &Written) -> Result<bool, CallError> {
    conn.conn.send_parts(Class::Own, written.frame.get(), written.shared.clone()).map_err(|_| conn.closed())
}

async fn queue(conn: &Arc<ClientConn>, written: &Written) -> Result<(), CallError> {
    while !queue_now(conn, written)? {
        conn.conn.outbox.room(Class::Own, written.bytes()).await;
    }
    Ok(())
}

/// The answer of one receiver, as it travelled.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) frame: Frame,
    pub(super) level: Level,
}

/// Waits for the answer to a request that was sent. Cancel safe.
pub(super) async fn receive(pending: &mut PendingReply, method: &str) -> Result<Received, CallError> {
    let level = pending.level();
    received(pending.await, level, method)
}

fn received(answer: Result<Frame, CallError>, level: Level, method: &str) -> Result<Received, CallError> {
    match answer {
        Ok(frame) => Ok(Received { frame, level }),
        Err(CallError::ReceiverGone { receiver, .. }) => {
            Err(CallError::ReceiverGone { receiver, method: method.to_owned() })
        }
        Err(error) => Err(error),
    }
}

/// Reads an answer as a `R`, or as the receiver's error.
pub(super) fn read<R: DeserializeOwned + 'static>(
    formats: &impl FormatSet,
    received: Received,
    method: &str,
) -> Result<R, CallError> {
    let header = received.frame.header();
    let frame = received.frame;
    let (format, text) = (header.format(received.level), header.is_text());
    let failed = |source| CallError::Decode { method: method.to_owned(), source };
    if frame.kind() == Kind::Response {
        return formats.decode_result(format, &Body { bytes: frame.into_payload(), text }).map_err(failed);
    }
    let body = Body { bytes: frame.payload_bytes(), text };
    let error = match formats.decode_error(format, &body) {
        // Every node reads JSON errors, with or without the format.
        Err(SerdeError::UnknownFormat(FormatId::JSON)) => read_json_error(&body).map_err(failed)?,
        read => read.map_err(failed)?,
    };
    let receiver = frame.transmitter();
    Err(match Refusal::call_error(error, receiver, method) {
        Ok(refused) => refused,
        Err(error) => CallError::Remote { receiver: receiver.to_owned(), method: method.to_owned(), error },
    })
}

fn read_json_error(body: &Body) -> Result<RemoteError, SerdeError> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        args: (RemoteError,),
    }
    let envelope: Envelope = serde_json::from_slice(&body.bytes).map_err(|e| SerdeError::decode(FormatId::JSON, e))?;
    Ok(envelope.args.0)
}

/// How far a call came, for the words of its timeout.
#[derive(Default)]
pub(super) struct Progress {
    receiver: Option<NodeName>,
    conn: Option<Arc<ClientConn>>,
    /// It has a call number, so it may have left.
    numbered: bool,
}

impl Progress {
    pub(super) fn reached(&mut self, conn: &Arc<ClientConn>, receiver: &NodeName) {
        self.conn = Some(Arc::clone(conn));
        self.receiver = Some(receiver.clone());
    }

    pub(super) fn expired(&self, method: &str, after: Duration) -> CallError {
        if !self.numbered && self.conn.as_ref().is_some_and(|conn| conn.is_full()) {
            let text = format!("all {} call numbers of the connection were in use for {after:?}", IDS);
            return CallError::Overloaded(text);
        }
        let receiver = self.receiver.as_ref().map_or_else(|| "any member".into(), ToString::to_string);
        CallError::Timeout { receiver, method: method.to_owned(), after }
    }
}

impl<F: FormatSet> Client<F> {
    /// Makes one call and gives the raw answer.
    pub(super) async fn call_raw<A: Args + Send>(
        &self,
        method: &str,
        args: A,
        options: &CallOptions,
    ) -> Result<Received, CallError> {
        let Some(after) = options.timeout else { return self.attempt(method, args, options, None).await };
        let mut progress = Progress::default();
        match timeout(after, self.attempt(method, args, options, Some(&mut progress))).await {
            Ok(ended) => ended,
            Err(_) => Err(progress.expired(method, after)),
        }
    }

    async fn attempt<A: Args + Send>(
        &self,
        method: &str,
        args: A,
        options: &CallOptions,
        mut progress: Option<&mut Progress>,
    ) -> Result<Received, CallError> {
        // Owned over the await, so that arguments need not be `Sync`.
        let mut given = Some(args);
        let now = poll_fn(move |cx| {
            let args = given.take().expect("it is ready when it is polled first");
            Poll::Ready((self.call_now(method, &args, options, cx.waker()), args))
        });
        let (now, args) = now.await;
        let (conn, receiver, written) = match now? {
            Now::Done(pending) => {
                drop(args);
                if let Some(progress) = progress {
                    progress.reached(pending.conn(), pending.receiver());
                    progress.numbered = true;
                }
                let level = pending.level();
                return received(pending.await, level, method);
            }
            Now::Waits(conn, receiver, written) => (conn, receiver, written),
            Now::Unconnected => {
                let conn = self.shared().connection(options.wait_for_connection).await?;
                let members = conn.members();
                let (receiver, written) = self.prepare(&members, method, &args, options, true)?;
                (conn, receiver.clone(), written)
            }
        };
        drop(args);
        if let Some(progress) = &mut progress {
            progress.reached(&conn, &receiver);
        }
        receive(&mut send(conn, receiver, written, progress).await?, method).await
    }

    /// Makes a call as far as nothing has to be waited for.
    fn call_now<A: Args>(
        &self,
        method: &str,
        args: &A,
        options: &CallOptions,
        waker: &Waker,
    ) -> Result<Now<PendingReply>, CallError> {
        let current = self.shared().current();
        let Some(current) = &*current else { return Ok(Now::Unconnected) };
        let (receiver, mut written) = self.prepare(&current.members, method, args, options, true)?;
        Ok(match send_now(&current.conn, receiver, &mut written, waker)? {
            Some(pending) => Now::Done(pending),
            None => Now::Waits(Arc::clone(&current.conn), receiver.clone(), written),
        })
    }

    /// The same for a call that nobody answers.
    pub(super) fn nowait_now<A: Args>(
        &self,
        method: &str,
        args: &A,
        options: &CallOptions,
    ) -> Result<Now<()>, CallError> {
        let current = self.shared().current();
        let Some(current) = &*current else { return Ok(Now::Unconnected) };
        let (receiver, mut written) = self.prepare(&current.members, method, args, options, false)?;
        Ok(if send_nowait_now(&current.conn, receiver, &mut written, method)? {
            Now::Done(())
        } else {
            Now::Waits(Arc::clone(&current.conn), receiver.clone(), written)
        })
    }

    /// Chooses receiver and format, and writes the request.
    pub(super) fn prepare<'m, A: Args>(
        &self,
        members: &'m Members,
        method: &str,
        args: &A,
        options: &CallOptions,
        wants_reply: bool,
    ) -> Result<(&'m NodeName, Written), CallError> {
        let shared = self.shared();
        let receiver = choose(shared, members, method, options.receiver.as_deref(), options.key.as_deref())?;
        let format = format_for(&self.formats, members, receiver, options.serde)?;
        let written = write_request(shared, receiver, method, format, wants_reply, |out| {
            self.formats.encode_args(format, args, out)
        })?;
        Ok((receiver, written))
    }
}
