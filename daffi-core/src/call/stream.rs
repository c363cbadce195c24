use std::{collections::VecDeque, sync::Arc, time::Duration};

use daffi_serde::{Args, FormatSet, Owned};
use daffi_wire::{FormatId, Level, NodeName};
use futures::{Stream, StreamExt};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::{
    calling::within,
    engine::{gone_error, read, receive, send, send_paid},
    pending_reply::PendingReply,
    progress::Progress,
    request::{Addressee, WrittenRequest, write_request},
    sending::SendError,
    setters,
    span::CallSpan,
    written_extensions::WrittenExtensions,
};
use crate::{
    client::{CallOptions, Client, Flow, Gone, Paid, Pinned, Style},
    deadline::{OnRuntime, later},
    error::{CallError, Disconnected, StreamError, WaitedFor},
};

/// A stream of chunks to one receiver, which acknowledges each: [`Client::stream`].
#[derive(Clone, Debug)]
pub struct StreamCall<F> {
    client: Client<F>,
    options: Arc<CallOptions>,
    window: usize,
}

/// A stream of chunks to one receiver, which acknowledges none: [`Client::stream_nowait`].
#[derive(Clone, Debug)]
pub struct StreamNowait<F> {
    client: Client<F>,
    options: Arc<CallOptions>,
}

/// The target of a whole stream.
struct Target {
    /// All chunks go there, also after a pause in which nothing is open.
    conn: Pinned,
    receiver: NodeName,
    format: FormatId,
    /// What is sent to that receiver, and not to one that bears its name later; `None`: nobody
    /// counts it.
    flow: Option<Arc<Flow>>,
}

impl Target {
    /// Waits until the receiver takes the chunk. Cancel safe.
    async fn pay(&self, style: Style, chunk: &WrittenRequest, method: &str) -> Result<Paid, CallError> {
        let paid = match &self.flow {
            Some(flow) => flow.pay(style, chunk.payload).await,
            None => self.conn.pay(&self.receiver, style, chunk.payload).await,
        };
        paid.map_err(|Gone| gone_error(&self.conn, &self.receiver, method))
    }
}

/// A chunk that was sent and is not acknowledged.
struct Unacknowledged {
    chunk: u64,
    pending: PendingReply,
    deadline: Option<Instant>,
    /// Given back with the acknowledgement.
    _paid: Paid,
}

impl<F: FormatSet> StreamCall<F> {
    pub(crate) const fn new(client: Client<F>, options: Arc<CallOptions>) -> Self {
        Self { client, options, window: 1 }
    }

    setters!(receiver key serde wait_for_connection wait_for_receiver);

    /// From sending a chunk to its acknowledgement; and how long the stream waits for a connection.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.options).timeout = Some(timeout);
        self
    }

    /// Sets how many chunks may be unacknowledged at once. Default 1: each is acknowledged before
    /// the next is sent. Above 1 the chunks run in order only on a receiver with `workers=1`, or in
    /// an `ordered` callback.
    #[must_use]
    pub fn window(mut self, chunks: usize) -> Self {
        self.window = chunks.max(1);
        self
    }

    /// Calls `method` with each chunk, all on one receiver, and gives the number of chunks
    /// acknowledged. Results are dropped; the first error ends the stream.
    ///
    #[doc = words!(stream)]
    pub fn send<'m, S>(
        &self,
        method: &'m str,
        chunks: S,
    ) -> impl Future<Output = Result<u64, StreamError>> + use<'m, S, F>
    where
        S: Stream,
        S::Item: Serialize + Send + 'static,
    {
        let (call, span) = self.begin(method);
        async move {
            let sent = OnRuntime::new(call.client.runtime(), call.send_all(method, chunks, span.as_deref())).await;
            call.client.end_stream(span, method, &sent);
            sent
        }
    }

    /// One stream, which begins now.
    fn begin(&self, method: &str) -> (Self, Option<Box<CallSpan>>) {
        let (span, options) = self.client.begin(method, &self.options);
        (Self { options, ..self.clone() }, span)
    }

    /// Does what [`send`](Self::send) does with a source that can fail: its error ends the stream
    /// behind the chunks before it.
    ///
    /// # Errors
    /// [`SendError::Source`] with what the source gave; [`SendError::Call`] as
    /// [`send`](Self::send).
    pub fn try_send<'m, C, E, S>(
        &self,
        method: &'m str,
        chunks: S,
    ) -> impl Future<Output = Result<u64, SendError<E, StreamError>>> + use<'m, C, E, S, F>
    where
        C: Serialize + Send + 'static,
        S: Stream<Item = Result<C, E>>,
    {
        let (call, span) = self.begin(method);
        async move {
            let mut failed = None;
            let sending = call.send_all(method, until_error(chunks, &mut failed), span.as_deref());
            let sent = OnRuntime::new(call.client.runtime(), sending).await;
            match (&failed, &sent) {
                // It was given up.
                (Some(_), Ok(_)) => drop(span),
                _ => call.client.end_stream(span, method, &sent),
            }
            let sent = sent?;
            failed.map_or(Ok(sent), |error| Err(SendError::Source(error)))
        }
    }

    async fn send_all<S>(&self, method: &str, chunks: S, span: Option<&CallSpan>) -> Result<u64, StreamError>
    where
        S: Stream,
        S::Item: Serialize + Send + 'static,
    {
        let mut chunks = std::pin::pin!(chunks.fuse());
        let target = target(&self.client, &self.options, method, span).await.map_err(at(0))?;
        let mut open: VecDeque<Unacknowledged> = VecDeque::new();
        let mut sent = 0;
        loop {
            // An acknowledgement, or its failure, is heard while the next chunk is waited for.
            let next = match open.front_mut() {
                None => next_chunk(&self.client, &mut chunks, method).await.map_err(at(sent))?,
                Some(oldest) => tokio::select! {
                    biased;
                    answered = self.await_answer(oldest, method) => {
                        answered?;
                        open.pop_front();
                        continue;
                    }
                    next = chunks.next(), if !chunks.is_done() && sent - oldest.chunk < self.window as u64 => match next {
                        None => continue,
                        next => next,
                    },
                },
            };
            let Some(chunk) = next else { return Ok(sent) };
            let written = write(&self.client, &target, method, &Owned(chunk), true).map_err(at(sent))?;
            let unacknowledged = {
                let mut sending = std::pin::pin!(self.send_chunk(sent, written, &target, method));
                loop {
                    let Some(oldest) = open.front_mut() else { break sending.await };
                    tokio::select! {
                        biased;
                        // The credit waited for may be what earlier chunks give back with their
                        // acknowledgements.
                        answered = self.await_answer(oldest, method) => {
                            answered?;
                            open.pop_front();
                        }
                        sent = &mut sending => break sent,
                    }
                }
            };
            open.push_back(unacknowledged.map_err(at(sent))?);
            sent += 1;
        }
    }

    /// Sends one chunk, as soon as its receiver takes it.
    async fn send_chunk(
        &self,
        chunk: u64,
        written: WrittenRequest,
        target: &Target,
        method: &str,
    ) -> Result<Unacknowledged, CallError> {
        let deadline = self.options.timeout.map(later);
        let mut progress = Progress::default();
        progress.set_target(&target.conn, &target.receiver);
        progress.waits_for(WaitedFor::Room);
        let sending = self.client.unless_given_up(method, async {
            let paid = target.pay(Style::Chunk, &written, method).await?;
            progress.waits_for(WaitedFor::Answer);
            let (conn, receiver) = (Arc::clone(&target.conn), target.receiver.clone());
            let pending = PendingReply::open(conn, receiver).await?;
            let pending = pending.ok_or(CallError::Disconnected(Disconnected::Replaced))?;
            let mut pending = send(pending, written, None, &mut progress).await?;
            pending.count(method);
            Ok((pending, paid))
        });
        let sent_in_time = match deadline {
            None => Ok(sending.await),
            Some(deadline) => timeout_at(deadline, sending).await,
        };
        let (pending, paid) = sent_in_time
            .unwrap_or_else(|_| Err(progress.timeout_error(method, self.options.timeout.unwrap_or_default())))?;
        Ok(Unacknowledged { chunk, pending, deadline, _paid: paid })
    }

    /// Waits for the answer to one chunk. Cancel safe.
    async fn await_answer(&self, oldest: &mut Unacknowledged, method: &str) -> Result<(), StreamError> {
        let Unacknowledged { chunk, pending, deadline, .. } = oldest;
        let (chunk, receiver) = (*chunk, pending.receiver().clone());
        let answer = self.client.unless_given_up(method, async {
            let received = receive(pending, method, None).await?;
            if received.frame.kind() == daffi_wire::Kind::Error {
                read::<serde::de::IgnoredAny>(self.client.formats(), received, method)?;
            }
            Ok(())
        });
        let answered = match (*deadline, self.options.timeout) {
            (Some(deadline), Some(after)) => match timeout_at(deadline, answer).await {
                Ok(answered) => answered,
                Err(_) => Err(CallError::Timeout {
                    receiver: receiver.to_string(),
                    method: method.to_owned(),
                    after,
                    waited_for: WaitedFor::Answer,
                    last_failure: None,
                }),
            },
            _ => answer.await,
        };
        answered.map_err(at(chunk))
    }
}

impl<F: FormatSet> StreamNowait<F> {
    pub(crate) const fn new(client: Client<F>, options: Arc<CallOptions>) -> Self {
        Self { client, options }
    }

    setters!(receiver key serde wait_for_connection wait_for_receiver);

    /// Sets how long a chunk may take until it is queued, and how long the stream waits for a
    /// connection.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.options).timeout = Some(timeout);
        self
    }

    /// Calls `method` with each chunk, all on one receiver, and gives the number of chunks queued.
    /// Waits while the connection's queue is full, which a receiver that is slower than this holds
    /// back.
    ///
    #[doc = words!(stream)]
    pub fn send<'m, S>(
        &self,
        method: &'m str,
        chunks: S,
    ) -> impl Future<Output = Result<u64, StreamError>> + use<'m, S, F>
    where
        S: Stream,
        S::Item: Serialize + Send + 'static,
    {
        let (call, span) = self.begin(method);
        async move {
            let sent = OnRuntime::new(call.client.runtime(), call.send_all(method, chunks, span.as_deref())).await;
            call.client.end_stream(span, method, &sent);
            sent
        }
    }

    /// One stream, which begins now.
    fn begin(&self, method: &str) -> (Self, Option<Box<CallSpan>>) {
        let (span, options) = self.client.begin(method, &self.options);
        (Self { options, ..self.clone() }, span)
    }

    /// Does what [`send`](Self::send) does with a source that can fail: its error ends the stream
    /// behind the chunks before it.
    ///
    /// # Errors
    /// [`SendError::Source`] with what the source gave; [`SendError::Call`] as
    /// [`send`](Self::send).
    pub fn try_send<'m, C, E, S>(
        &self,
        method: &'m str,
        chunks: S,
    ) -> impl Future<Output = Result<u64, SendError<E, StreamError>>> + use<'m, C, E, S, F>
    where
        C: Serialize + Send + 'static,
        S: Stream<Item = Result<C, E>>,
    {
        let (call, span) = self.begin(method);
        async move {
            let mut failed = None;
            let sending = call.send_all(method, until_error(chunks, &mut failed), span.as_deref());
            let sent = OnRuntime::new(call.client.runtime(), sending).await;
            match (&failed, &sent) {
                // It was given up.
                (Some(_), Ok(_)) => drop(span),
                _ => call.client.end_stream(span, method, &sent),
            }
            let sent = sent?;
            failed.map_or(Ok(sent), |error| Err(SendError::Source(error)))
        }
    }

    async fn send_all<S>(&self, method: &str, chunks: S, span: Option<&CallSpan>) -> Result<u64, StreamError>
    where
        S: Stream,
        S::Item: Serialize + Send + 'static,
    {
        let mut chunks = std::pin::pin!(chunks);
        let target = target(&self.client, &self.options, method, span).await.map_err(at(0))?;
        let mut sent = 0;
        while let Some(chunk) = next_chunk(&self.client, &mut chunks, method).await.map_err(at(sent))? {
            let written = write(&self.client, &target, method, &Owned(chunk), false).map_err(at(sent))?;
            let sending = self.client.unless_given_up(method, async {
                let paid = target.pay(Style::Nowait, &written, method).await?;
                send_paid(&target.conn, paid, written).await
            });
            let queued = within(self.options.timeout, sending).await.unwrap_or_else(|after| {
                let mut progress = Progress::default();
                progress.set_target(&target.conn, &target.receiver);
                progress.waits_for(WaitedFor::Room);
                Err(progress.timeout_error(method, after))
            });
            queued.map_err(at(sent))?;
            sent += 1;
        }
        Ok(sent)
    }
}

/// What comes before the first error, which is put into `failed`.
fn until_error<C, E>(chunks: impl Stream<Item = Result<C, E>>, failed: &mut Option<E>) -> impl Stream<Item = C> {
    chunks.scan(failed, |failed, chunk| {
        let chunk = chunk.map_err(|error| **failed = Some(error));
        std::future::ready(chunk.ok())
    })
}

/// Waits for the source, as long as somebody waits for the callback that makes the call.
async fn next_chunk<F: FormatSet, S: Stream + Unpin>(
    client: &Client<F>,
    chunks: &mut S,
    method: &str,
) -> Result<Option<S::Item>, CallError> {
    client.unless_given_up(method, async { Ok(chunks.next().await) }).await
}

async fn target<F: FormatSet>(
    client: &Client<F>,
    options: &CallOptions,
    method: &str,
    span: Option<&CallSpan>,
) -> Result<Target, CallError> {
    let asked = Some(options.serde.unwrap_or(FormatId::OPAQUE));
    let mut progress = Progress::default();
    let finding = client.unless_given_up(method, client.find(method, options, asked, false, &mut progress));
    let found = within(options.timeout, finding).await;
    let (conn, Addressee { name: receiver, .. }, format) =
        found.unwrap_or_else(|after| Err(progress.timeout_error(method, after)))?;
    if let Some(span) = span {
        span.note_peer(&receiver);
    }
    let flow = conn.flow_to(&receiver).map_err(|Gone| gone_error(&conn, &receiver, method))?;
    Ok(Target { conn: Pinned::new(conn), receiver, format, flow })
}

fn write<F: FormatSet, A: Args>(
    client: &Client<F>,
    target: &Target,
    method: &str,
    args: &A,
    wants_reply: bool,
) -> Result<WrittenRequest, CallError> {
    // Chunks are nobody's in particular, and of level 3.
    let (to, extensions) = ((&target.receiver, Level::THREE), WrittenExtensions::default());
    write_request(client.shared(), to, method, &extensions, target.format, wants_reply, |out| {
        client.formats().encode_args(target.format, args, out)
    })
}

fn at(chunk: u64) -> impl FnOnce(CallError) -> StreamError {
    move |source| StreamError::new(chunk, source)
}
