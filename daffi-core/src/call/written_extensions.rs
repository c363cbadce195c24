//! What travels with a request beside its names and arguments.

use std::{future::Future, sync::Arc};

use daffi_transport::BoxFuture;
use daffi_wire::{Extensions, FrameWriter, Level, MAX_TRACE_STATE_BYTES, NodeName, Shown, StreamFlags};
use tokio::time::Instant;

use crate::{
    client::{CallOptions, Client, ClientCore},
    deadline::in_ms,
    error::CallError,
};

/// What travels with a request: that its caller waits for a time only, what comes or goes one by
/// one, the trace and the headers.
#[derive(Debug, Default)]
pub(super) struct WrittenExtensions {
    /// Set anew when the request is sent.
    time_left_ms: Option<u32>,
    said: Option<Box<Extensions>>,
}

impl WrittenExtensions {
    /// Of a call with these options. Nobody gives a call up that wants no answer.
    /// `at_router`: it waits there for a receiver.
    #[inline]
    pub(super) fn of(
        options: &CallOptions,
        method: &str,
        wants_reply: bool,
        at_router: bool,
    ) -> Result<Self, CallError> {
        let streams = options.stream != StreamFlags::default();
        // The time of a call with items begins when they were sent, which only its caller knows.
        let time_left_ms = options.timeout.filter(|_| wants_reply && !options.stream.items_follow).map(in_ms);
        if options.headers.is_empty() && !streams && !at_router && options.trace.is_none() {
            return Ok(Self { time_left_ms, said: None });
        }
        Ok(Self { time_left_ms, said: Some(Box::new(Self::said(options, method, at_router)?)) })
    }

    fn said(options: &CallOptions, method: &str, at_router: bool) -> Result<Extensions, CallError> {
        let refused = |source| CallError::Extensions { method: method.to_owned(), source };
        let mut said = Extensions::builder().stream(options.stream);
        if at_router {
            said = said.wait_for_receiver();
        }
        if let Some(trace) = &options.trace {
            said = said.trace(trace.parent);
            // What is no part of the trace itself is not worth a call.
            if !trace.state.is_empty() && trace.state.len() <= MAX_TRACE_STATE_BYTES {
                said = said.trace_state(&trace.state).map_err(refused)?;
            }
        }
        let said = options
            .headers
            .iter()
            .try_fold(said, |said, (key, value)| said.header(key, value))
            .and_then(|said| said.build());
        said.map_err(refused)
    }

    /// Whether items follow the request, which no receiver of level 3 takes.
    pub(super) fn has_items(&self) -> bool {
        self.said.as_ref().is_some_and(|said| said.stream().items_follow)
    }

    /// Writes what `receiver` can read of it, and gives where the time stands that is left. A
    /// receiver of level 3 knows nothing of extensions.
    pub(super) fn write(
        &self,
        writer: &mut FrameWriter<'_>,
        shared: &ClientCore,
        receiver: &NodeName,
        level: Level,
    ) -> Option<usize> {
        if !level.at_least(Level::FOUR) {
            if self.said.as_ref().is_some_and(|said| said.has_headers()) && shared.note_dropped_headers() {
                tracing::warn!(
                    receiver = %Shown::name(receiver),
                    "headers are dropped: this member is a daffi 3.0.1 node, or behind one; further such calls are not logged"
                );
            }
            return None;
        }
        match self.time_left_ms {
            Some(ms) => Some(writer.time_left(ms, self.said.as_deref().unwrap_or(&Extensions::default()))),
            None => {
                if let Some(said) = &self.said {
                    writer.extensions(said);
                }
                None
            }
        }
    }
}

impl<F> Client<F> {
    /// The options of a call that this client makes: on the client of a callback's context it ends
    /// when the callback's own caller gives up.
    pub(super) fn inherit(&self, options: &Arc<CallOptions>) -> Arc<CallOptions> {
        let Some(deadline) = self.parent.as_ref().and_then(|parent| parent.deadline()) else {
            return Arc::clone(options);
        };
        let left = Instant::from_std(deadline).saturating_duration_since(Instant::now());
        let timeout = Some(options.timeout.map_or(left, |timeout| timeout.min(left)));
        Arc::new(CallOptions { timeout, ..CallOptions::clone(options) })
    }

    /// Ends when nobody waits any more for the callback that this client's calls are made for.
    pub(super) fn parent_given_up(&self) -> Option<BoxFuture<'static, ()>> {
        let parent = Arc::clone(self.parent.as_ref()?);
        Some(Box::pin(async move { parent.cancelled().await }))
    }

    /// Awaits the future, unless this is the client of a callback's context and nobody waits for
    /// that callback any more.
    pub(super) async fn unless_given_up<T>(
        &self,
        method: &str,
        future: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let Some(parent) = &self.parent else { return future.await };
        tokio::select! {
            biased;
            ended = future => ended,
            () = parent.cancelled() => Err(CallError::Cancelled { method: method.to_owned() }),
        }
    }
}
