//! What answers a call, and its way to the caller.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;
use daffi_serde::RemoteError;
use daffi_wire::{CallId, EncodeError, FormatId, Frame, FrameWriter, Header, Kind, Shown};

use super::{context::Context, items::Items, large::Large, span::CallbackSpan};
use crate::{
    conn::{Class, Turn},
    error::shorten,
    refusal::Refusal,
    scratch::Scratch,
};

/// The answer to a call.
#[derive(Debug)]
pub struct Reply {
    content: Content,
    /// The worker that made it: dropped once the answer is queued, so that no later answer
    /// overtakes it.
    until_sent: Option<Box<dyn Any + Send + Sync>>,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// A whole frame, and a payload part that is sent behind it without a copy.
    Frame(Scratch, Option<Box<Bytes>>),
    /// Results that follow one by one.
    Items(Box<Items>),
    /// A frame with the first part of a result, the rest of which follows.
    Large(Box<Large>),
    /// A failure, written once all layers are passed.
    Failed(Box<RemoteError>),
    /// The caller waits for nothing.
    Nothing,
    /// The callback did not run, because nobody waits for it any more.
    NotRun,
}

impl Reply {
    pub(super) const fn of(content: Content) -> Self {
        Self { content, until_sent: None }
    }

    /// Keeps `what` until the answer is queued, or dropped.
    pub(crate) fn keep(self, what: impl Any + Send + Sync) -> Self {
        Self { until_sent: Some(Box::new(what)), ..self }
    }

    /// Results that are sent one by one.
    pub(crate) fn items(items: Items) -> Self {
        Self::of(Content::Items(Box::new(items)))
    }

    /// The reply as what a callback gave within this span, to which results belong that follow.
    pub(super) fn within(mut self, span: CallbackSpan) -> Self {
        match &mut self.content {
            Content::Items(items) => items.set_span(span),
            _ => CallbackSpan::end(Some(span), self.as_error()),
        }
        self
    }

    /// Whether it goes on after it was sent.
    pub(crate) const fn goes_on(&self) -> bool {
        matches!(self.content, Content::Items(_) | Content::Large(_))
    }

    /// Nobody waits for it.
    pub(crate) const fn nothing() -> Self {
        Self::of(Content::Nothing)
    }

    /// The callback did not run, because nobody waits for it any more.
    pub(crate) const fn not_run() -> Self {
        Self::of(Content::NotRun)
    }

    /// Whether its callback did not run.
    pub(crate) const fn is_of_none(&self) -> bool {
        matches!(self.content, Content::NotRun)
    }

    /// A failure; what a layer answers in the callback's place. What refused another call, and is
    /// passed on, refuses not this one: it has the module `daffi.passed_on` then.
    #[must_use]
    pub fn error(error: RemoteError) -> Self {
        Self::refused(Refusal::none_of(error))
    }

    /// A failure that may say that the callback did not run.
    pub(crate) fn refused(error: RemoteError) -> Self {
        Self::of(Content::Failed(Box::new(error)))
    }

    /// The failure, if it is one.
    #[must_use]
    pub fn as_error(&self) -> Option<&RemoteError> {
        match &self.content {
            Content::Failed(error) => Some(error),
            Content::Frame(..) | Content::Items(_) | Content::Large(_) | Content::Nothing | Content::NotRun => None,
        }
    }
}

/// Where the answer to a call goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) id: CallId,
    pub(crate) format: FormatId,
    pub(crate) wants_reply: bool,
}

impl ReplyTo {
    pub(crate) fn new(context: &Context, frame: &Frame) -> Self {
        let header = frame.header();
        let format = header.format(context.conn().level());
        Self { id: header.id(), format, wants_reply: header.wants_reply() }
    }

    /// Tells a caller that gave its call up that the call has ended.
    pub(crate) fn answer_cancelled(context: &Context, id: CallId, turn: &mut Turn) {
        let to = Self { id, format: FormatId::JSON, wants_reply: true };
        let error = Refusal::Cancelled.error(format!("{} gave the call up", context.caller()));
        if let Some(frame) = to.error(context, "", &error) {
            // As any refusal: who provokes them and takes none is held back.
            queue(context, "", Class::Provoked, (frame, None), Some(turn));
        }
    }

    /// Answers, with the turn that the request was read in if that goes on.
    pub(crate) fn send(self, context: &Context, method: &str, reply: Reply, mut turn: Option<&mut Turn>) {
        if reply.goes_on() {
            return self.begin(context, method, reply, turn);
        }
        let Reply { content, until_sent } = reply;
        // One that its caller gave up was answered so.
        let Some(_ending) = context.call().end() else { return };
        match content {
            Content::Frame(frame, shared) if self.wants_reply => {
                self.answer(context, method, (frame, shared.map(|shared| *shared)), turn.as_deref_mut());
            }
            Content::Failed(error) => self.fail(context, method, &error, turn.as_deref_mut()),
            Content::Frame(..) | Content::Items(_) | Content::Large(_) | Content::Nothing | Content::NotRun => {}
        }
        if until_sent.is_some()
            && let Some(turn) = turn
        {
            turn.flush();
        }
    }

    /// Answers with the failure of a callback that ran.
    #[cold]
    fn fail(self, context: &Context, method: &str, error: &RemoteError, turn: Option<&mut Turn>) {
        if !self.wants_reply {
            tracing::warn!(caller = %Shown::name(context.caller()), method, %error, "a nowait call failed");
        } else if let Some(frame) = self.error(context, method, error) {
            self.answer(context, method, (frame, None), turn);
        }
    }

    /// Begins to answer by what goes on after that. What nobody waits for is not begun.
    #[cold]
    fn begin(self, context: &Context, method: &str, reply: Reply, turn: Option<&mut Turn>) {
        if !self.wants_reply || context.is_cancelled() {
            // A panic of what is dropped here is nobody's answer, and must not end the connection.
            drop(catch_unwind(AssertUnwindSafe(|| drop(reply.content))));
            return;
        }
        match reply.content {
            Content::Items(items) => items.send(self, method.to_owned()),
            Content::Large(large) => {
                // What was answered before goes before it.
                turn.into_iter().for_each(Turn::flush);
                large.send(self, context, method);
            }
            Content::Frame(..) | Content::Failed(_) | Content::Nothing | Content::NotRun => {}
        }
    }

    /// Answers with an error instead of running the callback.
    pub(crate) fn send_error(self, context: &Context, method: &str, error: &RemoteError, turn: &mut Turn) {
        context.node().note_refused_call();
        if !self.wants_reply {
            tracing::warn!(caller = %Shown::name(context.caller()), method = %Shown::name(method), %error, "a nowait call was refused");
        } else if let Some(frame) = self.error(context, method, error) {
            queue(context, method, Class::Provoked, (frame, None), Some(turn));
        }
    }

    /// Ends a call whose deadline passed while its results were sent. One that its caller gave up
    /// has ended.
    pub(super) fn send_expired(self, context: &Context, method: &str) {
        let Some(_ending) = context.call().end() else { return };
        if let Some(data) = context.call().data() {
            data.end();
        }
        let error = Refusal::DeadlineExceeded.error(format!("the deadline of the call passed while {method}() ran"));
        if let Some(frame) = self.error(context, method, &error) {
            queue(context, method, Class::Terminal, (frame, None), None);
        }
    }

    /// Queues the frame with the first part of a result. `false`: there is no room for it.
    pub(super) fn queue_first(self, context: &Context, method: &str, first: Scratch) -> bool {
        queue(context, method, Class::Answer, (first, None), None)
    }

    /// Ends a call with an error, behind which nothing comes of it.
    pub(super) fn send_terminal(self, context: &Context, method: &str, error: &RemoteError) {
        if let Some(frame) = self.error(context, method, error) {
            queue(context, method, Class::Terminal, (frame, None), None);
        }
    }

    /// Queues an answer, or says that there was no room for it.
    #[inline]
    fn answer(self, context: &Context, method: &str, answer: AnswerFrame, mut turn: Option<&mut Turn>) {
        let bytes = answer.0.get().len() + answer.1.as_ref().map_or(0, Bytes::len);
        if !queue(context, method, Class::Answer, answer, turn.as_deref_mut()) {
            self.lose(context, method, bytes, turn);
        }
    }

    /// Says that there was no room for an answer of so many bytes.
    #[cold]
    fn lose(self, context: &Context, method: &str, bytes: usize, turn: Option<&mut Turn>) {
        let lost = context.conn().outbox.lost_answer_error(method, bytes, context.caller());
        tracing::warn!(caller = %Shown::name(context.caller()), method, bytes, "an answer was lost: its caller does not take what waits");
        if let Some(frame) = self.error(context, method, &lost) {
            queue(context, method, Class::Terminal, (frame, None), turn);
        }
    }

    /// Writes a failure: in the call's format where every node reads errors in it, else in JSON.
    pub(super) fn error(self, context: &Context, method: &str, error: &RemoteError) -> Option<Scratch> {
        let written = self.write_error(context, method, error).or_else(|reason| {
            let text = format!("{}: the error itself does not fit: {reason}", shorten(&error.class));
            self.write_error(context, method, &RemoteError::new("TransmissionFailure", text))
        });
        written
            .inspect_err(|reason| {
                tracing::warn!(caller = %Shown::name(context.caller()), method = %Shown::name(method), %reason, "an error could not be sent");
            })
            .ok()
    }

    fn write_error(self, context: &Context, method: &str, error: &RemoteError) -> Result<Scratch, EncodeError> {
        let node = context.node();
        let mut frame = Scratch::take();
        let written =
            FrameWriter::begin(frame.get_mut(), &node.name, context.caller(), method).and_then(|mut writer| {
                let format = node.errors.write(self.format, error, writer.body());
                let header = Header::new(Kind::Error, self.id, format, format == FormatId::JSON, false);
                writer.finish(header, 0, &node.config.limits)
            });
        written.map(|()| frame)
    }
}

/// A frame, and a payload part that is sent behind it without a copy.
type AnswerFrame = (Scratch, Option<Bytes>);

/// `false`: there is no room for it.
#[inline]
fn queue(context: &Context, method: &str, class: Class, written: AnswerFrame, turn: Option<&mut Turn>) -> bool {
    let (mut frame, shared) = written;
    if shared.is_none() && frame.is_large() {
        // Shared rather than copied into the queue.
        return queue_parts(context, method, class, &[], Some(frame.take_bytes()), turn);
    }
    queue_parts(context, method, class, frame.get(), shared, turn)
}

#[inline]
fn queue_parts(
    context: &Context,
    method: &str,
    class: Class,
    head: &[u8],
    payload: Option<Bytes>,
    turn: Option<&mut Turn>,
) -> bool {
    let conn = context.conn();
    if let Some(turn) = turn {
        return turn.send(conn, class, head, payload);
    }
    conn.send_parts(class, head, payload).unwrap_or_else(|_| {
        note_left(context, method);
        true
    })
}

#[cold]
fn note_left(context: &Context, method: &str) {
    tracing::debug!(caller = %Shown::name(context.caller()), method = %Shown::name(method), "the caller left before its answer was ready");
}

impl Context {
    /// Answers a REQUEST with an error instead of running its callback.
    pub(crate) fn answer_error(&self, turn: &mut Turn, frame: &Frame, error: RemoteError) {
        ReplyTo::new(self, frame).send_error(self, frame.method(), &error, turn);
    }
}

/// What the caller of a callback that panicked hears.
pub(super) fn panic_error(method: &str, panic: &(dyn std::any::Any + Send)) -> RemoteError {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into());
    tracing::error!(callback = method, panic = %Shown::new(&text), "a callback panicked");
    RemoteError::new("RuntimeError", format!("{method}() panicked: {text}"))
}
