//! Results that a callback gives one by one, on their way to its caller.

use std::{
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use bytes::BytesMut;
use daffi_serde::{FormatSet, RemoteError, SerdeError};
use daffi_transport::BoxFuture;
use daffi_wire::{Extensions, FrameWriter, Header, Kind, StreamFlags};
use futures::Stream;
use serde::Serialize;
use tokio::task::coop;
use tracing::{Instrument, Span};

use super::{
    context::Context,
    reply::{Reply, ReplyTo, panic_error},
    request::Request,
    span::CallbackSpan,
};
use crate::{
    conn::{Class, Ticket, WAITING_COST},
    data::{Filled, Outflow, PUMP_COST, Pack, PumpError, Stint, StreamPlace, pump, write_item},
    refusal::Refusal,
    scratch::Scratch,
};

/// The most items, and bytes of them, that a caller gets as one list.
const MAX_LIST_ITEMS: usize = 65_536;
const MAX_LIST_BYTES: usize = 16 * 1024 * 1024;

/// What such a list holds is taken from the budget in steps of so many bytes.
const STEP: usize = 16 * 1024;

/// The stream that a callback returned, and the call that it answers.
pub(crate) struct Items {
    context: Context,
    source: Box<dyn ItemSource>,
    span: Option<Box<CallbackSpan>>,
    /// Of those that go as one list.
    place: Option<StreamPlace>,
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Items")
    }
}

/// A stream of results with the call's format.
trait ItemSource: Send {
    /// Puts the next items into `pack`, as far as they are ready.
    fn fill(&mut self, cx: &mut TaskContext<'_>, pack: &mut Pack) -> Filled<RemoteError>;

    /// Gives all items as one list, for a caller that takes no others.
    fn gather(self: Box<Self>) -> BoxFuture<'static, Reply>;
}

struct Source<S, F> {
    stream: Pin<Box<S>>,
    request: Request,
    formats: F,
}

impl Items {
    /// The results of `stream`, which answer `request` and have this place.
    pub(crate) fn new<T, S, F>(stream: S, request: Request, formats: F, place: Option<StreamPlace>) -> Self
    where
        T: Serialize + Send + 'static,
        S: Stream<Item = Result<T, RemoteError>> + Send + 'static,
        F: FormatSet,
    {
        let context = request.context().clone();
        Self { context, source: Box::new(Source { stream: Box::pin(stream), request, formats }), span: None, place }
    }

    /// They belong to this span, which ends with them.
    pub(super) fn set_span(&mut self, span: CallbackSpan) {
        self.span = Some(Box::new(span));
    }

    /// Sends them as the caller takes them, on a task of their own.
    pub(super) fn send(self, to: ReplyTo, method: String) {
        let (context, place) = (self.context.clone(), self.place);
        let ticket = Ticket::new(Arc::clone(context.conn()), WAITING_COST + PUMP_COST);
        let running = context.node().running.clone();
        running.spawn(async move {
            let within = self.span.as_ref().map_or_else(Span::none, |span| span.span());
            let sent = async {
                match context.call().data().and_then(|data| data.outflow()) {
                    Some(outflow) => stream(self.source, to, &context, &method, outflow, self.span).await,
                    None => {
                        let reply = guard(self.source.gather(), &method).await;
                        CallbackSpan::end(self.span.map(|span| *span), reply.as_error());
                        to.send(&context, &method, reply, None);
                    }
                }
            };
            let mut sent = Box::pin(sent.instrument(within));
            let given_up = tokio::select! {
                () = &mut sent => false,
                () = context.cancelled() => true,
                () = context.node().life.killed.cancelled() => false,
            };
            // Its caller hears of the end whatever the stream does as it is dropped.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(sent)));
            if given_up {
                // Whoever gave the call up has its terminal. Once results come one by one there is
                // no deadline.
                to.send_expired(&context, &method);
            }
            drop((ticket, place, dropped));
        });
    }
}

/// Takes a place among the calls of its caller whose results come one by one, for a call whose
/// results go as one list; the others took theirs when they came. The error is for its caller: the
/// callback did not run.
pub(super) fn take_place(request: &Request) -> Result<Option<StreamPlace>, RemoteError> {
    let context = request.context();
    let (call, most) = (context.call(), context.node().config.max_streams);
    let goes_as_list = request.wants_reply && call.data().is_none_or(|data| data.outflow().is_none());
    if !goes_as_list {
        return Ok(None);
    }
    let place = StreamPlace::one_of(&call.caller.streams, most);
    place.map(Some).ok_or_else(|| {
        Refusal::Overloaded.error(format!(
            "{}() gives results one by one, and {} has {most} such calls open, which is the most (max_streams)",
            request.method(),
            call.caller.name
        ))
    })
}

/// A reply, or the error of who panicked on the way to it.
async fn guard(mut reply: BoxFuture<'static, Reply>, method: &str) -> Reply {
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| reply.as_mut().poll(cx)));
        polled.unwrap_or_else(|panic| Poll::Ready(Reply::error(panic_error(method, &*panic))))
    })
    .await
}

/// Sends items until there are no more, the callback fails or nobody takes them.
async fn stream(
    mut source: Box<dyn ItemSource>,
    to: ReplyTo,
    context: &Context,
    method: &str,
    outflow: &Outflow,
    span: Option<Box<CallbackSpan>>,
) {
    context.call().stream();
    // Nothing comes behind the end of a call that its caller gave up.
    if !matches!(outflow.begin(|| begin(to, context, method)), Ok(true)) {
        return;
    }
    let ended = pump(outflow, |cx, pack| fill(&mut *source, cx, pack, method)).await;
    // What the stream holds is free before its caller knows the end.
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(source)));
    let error = match (ended, dropped) {
        (Ok(()), Ok(())) => None,
        (Err(PumpError::Source(error)), _) => Some(error),
        (Ok(()), Err(panic)) => Some(panic_error(method, &*panic)),
        // It was cancelled, or its connection has ended.
        (Err(PumpError::Stopped), _) => return,
    };
    let Some(_ending) = context.call().end() else { return };
    CallbackSpan::end(span.map(|span| *span), error.as_ref());
    match error {
        None => drop(outflow.finish()),
        Some(error) => {
            if let Some(frame) = to.error(context, method, &error) {
                drop(outflow.fail(frame.get()));
            }
        }
    }
}

/// Items that came before a panic are sent, as those before an error are.
fn fill(source: &mut dyn ItemSource, cx: &mut TaskContext<'_>, pack: &mut Pack, method: &str) -> Filled<RemoteError> {
    let filled = catch_unwind(AssertUnwindSafe(|| source.fill(cx, pack)));
    filled.unwrap_or_else(|panic| Filled::Failed(panic_error(method, &*panic)))
}

/// Tells the caller that results follow. `false`: there is no telling it.
fn begin(to: ReplyTo, context: &Context, method: &str) -> bool {
    let (node, mut frame) = (context.node(), Scratch::take());
    let flags = StreamFlags { items_follow: true, takes_results: false };
    let written = Extensions::builder().stream(flags).build().ok().and_then(|said| {
        let mut writer = FrameWriter::begin(frame.get_mut(), &node.name, context.caller(), method).ok()?;
        writer.extensions(&said);
        let header = Header::new(Kind::Response, to.id, to.format, false, false);
        writer.finish(header, 0, &node.config.limits).ok()
    });
    written.is_some() && context.conn().send_parts(Class::Terminal, frame.get(), None).is_ok()
}

impl<T, S, F> ItemSource for Source<S, F>
where
    T: Serialize + Send + 'static,
    S: Stream<Item = Result<T, RemoteError>> + Send + 'static,
    F: FormatSet,
{
    fn fill(&mut self, cx: &mut TaskContext<'_>, pack: &mut Pack) -> Filled<RemoteError> {
        let Self { stream, request, formats } = self;
        let filled = pack.fill(|out| {
            stream.as_mut().poll_next(cx).map(|next| {
                next.map(|item| {
                    let item = item.map_err(Refusal::none_of)?;
                    write_item(formats, request.format(), &item, out).map_err(|error| unwritable(request, &error))
                })
            })
        });
        request.callback.note_stream(pack.took());
        filled
    }

    fn gather(self: Box<Self>) -> BoxFuture<'static, Reply> {
        let Self { stream, request, formats } = *self;
        Box::pin(async move {
            match gather(stream, &request, &formats).await {
                Ok(list) => request.reply(&list, &formats),
                Err(error) => Reply::refused(error),
            }
        })
    }
}

async fn gather<T: Serialize + 'static>(
    mut stream: Pin<Box<impl Stream<Item = Result<T, RemoteError>>>>,
    request: &Request,
    formats: &impl FormatSet,
) -> Result<Vec<T>, RemoteError> {
    let mut memory = request.context().conn().data_account().charge(0);
    let (mut list, mut item, mut bytes, mut stint) = (Vec::new(), BytesMut::new(), 0, Stint::default());
    while let Some(value) = poll_fn(|cx| stint.time(|| stream.as_mut().poll_next(cx))).await {
        let value = value.map_err(Refusal::none_of)?;
        item.clear();
        write_item(formats, request.format(), &value, &mut item).map_err(|error| unwritable(request, &error))?;
        bytes += item.len() + size_of::<T>();
        if !memory.grow_to(bytes.next_multiple_of(STEP)) {
            return Err(Refusal::AnswerLost.error(format!(
                "{}() ran, and {bytes} bytes of its results found no room as one list: take them one by one",
                request.method()
            )));
        }
        coop::consume_budget().await;
        stint.give_way().await;
        if list.len() == MAX_LIST_ITEMS || bytes > MAX_LIST_BYTES {
            return Err(RemoteError::new(
                "OverflowError",
                format!(
                    "{}() gave more than {MAX_LIST_ITEMS} results, or {MAX_LIST_BYTES} bytes of them, which is the most \
                     for a caller that takes them as one list: take them one by one",
                    request.method()
                ),
            ));
        }
        list.push(value);
    }
    Ok(list)
}

fn unwritable(request: &Request, error: &SerdeError) -> RemoteError {
    RemoteError::new("TypeError", format!("a result of {}(): {error}", request.method()))
}
