//! The spans of calls, the trace that travels with them, and what tells of a call that failed.

use std::{borrow::Cow, sync::Arc};

use parking_lot::Mutex;
use tracing::{Span, field::Empty};

use super::Answers;
use crate::{
    client::{CallOptions, Client},
    error::{CallError, StreamError},
    trace::{TARGET, is_on},
};

/// The span of a call from when it was made to its end.
#[derive(Debug)]
pub(super) struct CallSpan {
    span: Span,
    ended: bool,
}

impl CallSpan {
    #[cold]
    fn begin(method: &str) -> Option<Box<Self>> {
        let span = tracing::debug_span!(
            target: TARGET,
            "call",
            otel.name = method,
            otel.kind = "client",
            otel.status_code = Empty,
            rpc.system = "daffi",
            rpc.method = method,
            peer.service = Empty,
            outcome = Empty,
            error.type = Empty,
        );
        (!span.is_disabled()).then(|| Box::new(Self { span, ended: false }))
    }

    /// Notes who is called, as soon as that is known.
    pub(super) fn note_peer(&self, receiver: &str) {
        self.span.record("peer.service", receiver);
    }

    fn end(&mut self, error: Option<&CallError>) {
        self.ended = true;
        match error {
            None => self.span.record("outcome", "ok"),
            Some(error) => {
                let (outcome, kind) = outcome(error);
                self.span.record("outcome", outcome).record("otel.status_code", "ERROR").record("error.type", &*kind)
            }
        };
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        if !self.ended {
            self.span.record("outcome", "dropped");
        }
    }
}

/// How a call came to no good end, in one word, and which error it was: few different ones.
fn outcome(error: &CallError) -> (&'static str, Cow<'_, str>) {
    match error {
        CallError::Remote { error, .. } => ("error", Cow::Borrowed(&error.class)),
        CallError::Timeout { .. } => ("timeout", Cow::Borrowed("Timeout")),
        CallError::Cancelled { .. } => ("cancelled", Cow::Borrowed("Cancelled")),
        // The name of the variant.
        other => {
            let mut kind = format!("{other:?}");
            kind.truncate(kind.find(|c: char| !c.is_alphanumeric()).unwrap_or(kind.len()));
            ("failed", Cow::Owned(kind))
        }
    }
}

/// The span of a call that failed, and the event that tells of that.
#[cold]
fn note_failure(span: Option<Box<CallSpan>>, method: &str, error: &CallError) {
    let Some(mut span) = span else { return tell(method, error) };
    span.end(Some(error));
    span.span.in_scope(|| tell(method, error));
}

fn tell(method: &str, error: &CallError) {
    if is_on() {
        let (outcome, _) = outcome(error);
        tracing::debug!(target: TARGET, { rpc.method = method, outcome, %error }, "a call failed");
    }
}

/// What is still to be told of a call that was answered: whether its result can be read. It goes
/// well unless that is tried and fails.
#[derive(Debug)]
pub(super) struct Unread(Mutex<UnreadState>);

#[derive(Debug)]
enum UnreadState {
    /// It was not tried. The call may have no span, because nobody listens.
    Untried(Option<Box<CallSpan>>),
    Told,
}

impl Unread {
    /// `None`: nobody listens.
    pub(super) fn new(span: Option<Box<CallSpan>>) -> Option<Arc<Self>> {
        (span.is_some() || is_on()).then(|| Arc::new(Self(Mutex::new(UnreadState::Untried(span)))))
    }

    /// It was read for the first time, or once more, which tells nothing new.
    pub(super) fn note_read<T>(&self, method: &str, read: &Result<T, CallError>) {
        let before = std::mem::replace(&mut *self.0.lock(), UnreadState::Told);
        let UnreadState::Untried(span) = before else { return };
        match (read, span) {
            (Ok(_), Some(mut span)) => span.end(None),
            (Ok(_), None) => {}
            (Err(error), span) => note_failure(span, method, error),
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if let UnreadState::Untried(Some(span)) = self.0.get_mut() {
            span.end(None);
        }
    }
}

/// How each call of a client ends, whatever its style: here it is counted, and told.
impl<F> Client<F> {
    /// A call has ended so: counts an error of its receiver, tells its span, if it has one, and
    /// tells of a failure by an event.
    #[inline]
    pub(super) fn end_call<T>(&self, span: Option<Box<CallSpan>>, method: &str, ended: &Result<T, CallError>) {
        match ended {
            Ok(_) => {
                if let Some(mut span) = span {
                    span.end(None);
                }
            }
            Err(error) => {
                self.count_failure(error);
                note_failure(span, method, error);
            }
        }
    }

    /// A cast has ended so: the same for each member that failed.
    pub(super) fn end_cast<R>(&self, span: Option<Box<CallSpan>>, method: &str, ended: &Result<Answers<R>, CallError>) {
        if let Ok(answers) = ended {
            let within = span.as_ref().map_or_else(Span::current, |span| span.span.clone());
            for error in answers.values().filter_map(|answer| answer.as_ref().err()) {
                self.count_failure(error);
                within.in_scope(|| tell(method, error));
            }
        }
        self.end_call(span, method, ended);
    }

    /// A cast that nobody answers has ended so: all is told of those to whom nothing was sent, and
    /// the first of them is what it fails with.
    pub(super) fn end_queued(
        &self,
        span: Option<Box<CallSpan>>,
        method: &str,
        queued: Result<Vec<Result<(), CallError>>, CallError>,
    ) -> Result<(), CallError> {
        let ended = queued.and_then(|queued| {
            let mut failed = queued.into_iter().filter_map(Result::err);
            let first = failed.next();
            let within = span.as_ref().map_or_else(Span::current, |span| span.span.clone());
            failed.for_each(|error| within.in_scope(|| tell(method, &error)));
            first.map_or(Ok(()), Err)
        });
        self.end_call(span, method, &ended);
        ended
    }

    /// A stream of chunks has ended so.
    pub(super) fn end_stream<T>(&self, span: Option<Box<CallSpan>>, method: &str, ended: &Result<T, StreamError>) {
        match ended {
            Ok(_) => self.end_call(span, method, &Ok(())),
            Err(StreamError { source, .. }) => self.end_call::<()>(span, method, &Err(CallError::clone(source))),
        }
    }

    #[cold]
    fn count_failure(&self, error: &CallError) {
        if let CallError::Remote { receiver, method, error } = error {
            self.handle.shared.called.note_error(receiver, method, &error.class);
        }
    }

    /// Begins a call: its span, if somebody listens, and its options, with the trace that it
    /// belongs to.
    #[inline]
    pub(super) fn begin(&self, method: &str, options: &Arc<CallOptions>) -> (Option<Box<CallSpan>>, Arc<CallOptions>) {
        let options = self.inherit(options);
        if !is_on() && self.trace.is_none() && self.handle.shared.node.config.propagator.is_none() {
            return (None, options);
        }
        self.begin_traced(method, options)
    }

    #[cold]
    fn begin_traced(&self, method: &str, options: Arc<CallOptions>) -> (Option<Box<CallSpan>>, Arc<CallOptions>) {
        let current = Span::current();
        let span = if is_on() { CallSpan::begin(method) } else { None };
        let trace = match &self.handle.shared.node.config.propagator {
            None => self.trace.clone(),
            Some(propagator) => {
                if let (true, Some(span), Some(trace)) = (current.is_none(), &span, &self.trace) {
                    propagator.extract(trace, &span.span);
                }
                let said = propagator.inject(span.as_ref().map_or(&current, |span| &span.span));
                said.map(Arc::new).or_else(|| self.trace.clone())
            }
        };
        match trace {
            None => (span, options),
            Some(trace) => (span, Arc::new(CallOptions { trace: Some(trace), ..CallOptions::clone(&options) })),
        }
    }
}
