//! Results that several members give one by one.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use daffi_serde::{FormatSet, Returned};
use daffi_transport::BoxFuture;
use futures::{
    Stream,
    stream::{SelectAll, select_all},
};

use super::Results;
use crate::error::CallError;

/// What a member of a cast gives, of many: what [`Cast::results`](super::Cast::results) tells of
/// each.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CastItem<R> {
    /// One of its results.
    Item(R),
    /// Its call failed: this is the last of it.
    Failed(CallError),
    /// There are no further ones: this is the last of it.
    Ended,
}

/// The results of a cast, one by one, each with the name of the member that gave it: what
/// [`Cast::results`](super::Cast::results) gives.
///
/// The results of one member come in their order, and last of each comes that it has
/// [`Ended`](CastItem::Ended) or [`Failed`](CastItem::Failed); members that have something take
/// turns. It ends when all have ended. Each member has a window of its own, so all are held up by a
/// slow reader here, and none by another member.
///
/// Dropping it gives all calls up. Cancel safe: a result that was not given is still there.
#[must_use = "dropping the results gives the calls up"]
pub struct CastResults<R, F> {
    members: SelectAll<MemberResults<R, F>>,
    open: usize,
}

impl<R: Returned, F: FormatSet> CastResults<R, F> {
    pub(super) fn new(members: Vec<MemberResults<R, F>>) -> Self {
        Self { open: members.len(), members: select_all(members) }
    }

    /// How many members were asked and have not ended.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }
}

impl<R, F> Unpin for CastResults<R, F> {}

impl<R: Returned, F: FormatSet> Stream for CastResults<R, F> {
    type Item = (String, CastItem<R>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.members).poll_next(cx));
        if matches!(next, Some((_, CastItem::Failed(_) | CastItem::Ended))) {
            self.open -= 1;
        }
        Poll::Ready(next)
    }
}

impl<R, F> fmt::Debug for CastResults<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CastResults").finish_non_exhaustive()
    }
}

/// The results of one member.
pub(super) struct MemberResults<R, F> {
    name: Arc<str>,
    state: MemberState<R, F>,
}

enum MemberState<R, F> {
    /// The call waits for a number, or for room.
    Opens(BoxFuture<'static, Result<Results<R, F>, CallError>>),
    Open(Box<Results<R, F>>),
    Failed(CallError),
    Over,
}

impl<R: Returned, F: FormatSet> MemberResults<R, F> {
    /// The results of a call that `opening` sends.
    pub(super) fn new(
        name: &str,
        opening: impl Future<Output = Result<Results<R, F>, CallError>> + Send + 'static,
    ) -> Self {
        Self { name: name.into(), state: MemberState::Opens(Box::pin(opening)) }
    }

    /// Sends the call, if nothing has to be waited for.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let MemberState::Opens(opening) = &mut self.state {
            self.state = match ready!(opening.as_mut().poll(cx)) {
                Ok(results) => MemberState::Open(Box::new(results)),
                Err(error) => MemberState::Failed(error),
            };
        }
        Poll::Ready(())
    }
}

impl<R, F> Unpin for MemberResults<R, F> {}

impl<R: Returned, F: FormatSet> Stream for MemberResults<R, F> {
    type Item = (String, CastItem<R>);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        ready!(this.poll_open(cx));
        let next = match &mut this.state {
            MemberState::Open(results) => match ready!(Pin::new(&mut **results).poll_next(cx)) {
                Some(Ok(result)) => return Poll::Ready(Some((this.name.to_string(), CastItem::Item(result)))),
                Some(Err(error)) => CastItem::Failed(error),
                None => CastItem::Ended,
            },
            state => match std::mem::replace(state, MemberState::Over) {
                MemberState::Failed(error) => CastItem::Failed(error),
                _ => return Poll::Ready(None),
            },
        };
        this.state = MemberState::Over;
        Poll::Ready(Some((this.name.to_string(), next)))
    }
}
