//! Attempts to connect to several addresses, side by side.

use std::{future::pending, sync::Arc, time::Duration};

use daffi_transport::BoxFuture;
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;

use super::{
    ClientConn, ClientCore,
    addresses::Patience,
    establish::{Ends, establish},
    hello_line::{FloorTime, HelloLine},
    schedule::Tried,
};
use crate::{
    deadline::{bound, later},
    error::InitializationError,
};

/// An address that has not answered for so long keeps the next one from being tried no more.
const HEAD_START: Duration = Duration::from_millis(250);

/// What became of an attempt.
pub(super) type Connected = Result<Arc<ClientConn>, InitializationError>;

/// Attempts that go on at the same time, one at each address: their links are made side by side,
/// and hands are shaken over one after another. The first that works is used; the others end, and
/// so do all that are open when this is dropped.
pub(super) struct Attempts<'a> {
    shared: &'a Arc<ClientCore>,
    ends: &'a Ends,
    /// The connection whose call numbers go on.
    before: Option<&'a ClientConn>,
    line: Arc<HelloLine>,
    open: FuturesUnordered<BoxFuture<'a, (usize, Connected)>>,
    /// The addresses of those.
    trying: Vec<usize>,
    /// When the next may be begun beside them.
    next_at: Instant,
}

impl<'a> Attempts<'a> {
    /// `floor`: how long one has the floor, and says HANDSHAKE, while others wait that hurry it.
    pub(super) fn new(
        shared: &'a Arc<ClientCore>,
        ends: &'a Ends,
        before: Option<&'a ClientConn>,
        floor: FloorTime,
    ) -> Self {
        let (open, trying, line) = (FuturesUnordered::new(), Vec::new(), Arc::new(HelloLine::new(floor)));
        Self { shared, ends, before, line, open, trying, next_at: Instant::now() }
    }

    /// Begins an attempt at this address, where that came of those before.
    pub(super) fn begin(&mut self, at: usize, tried: Tried) {
        let patience = self.shared.addresses.patience(&self.shared.node.config, tried.silences);
        self.begin_with(at, tried, patience, HEAD_START);
    }

    /// The same with all the time that is set, as at an only address. The next is begun when that
    /// has failed.
    pub(super) fn begin_alone(&mut self, at: usize, tried: Tried) {
        let patience = Patience::whole(&self.shared.node.config);
        self.begin_with(at, tried, patience, bound(patience.link).saturating_add(bound(patience.handshake)));
    }

    fn begin_with(&mut self, at: usize, tried: Tried, patience: Patience, head_start: Duration) {
        let (shared, ends, before, line) = (self.shared, self.ends, self.before, Arc::clone(&self.line));
        shared.addresses.choose(at);
        self.trying.push(at);
        self.next_at = later(head_start);
        self.open
            .push(Box::pin(async move { (at, establish(shared, ends, before, (&line, tried), (at, patience)).await) }));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn are_at(&self, at: usize) -> bool {
        self.trying.contains(&at)
    }

    /// When the next may be begun.
    pub(super) fn next_at(&self) -> Instant {
        if self.is_empty() { Instant::now() } else { self.next_at }
    }

    /// Waits for the end of one of them, for ever if there is none. One that works has its address
    /// in use from then on. Cancel safe.
    pub(super) async fn next_end(&mut self) -> (usize, Connected) {
        let Some((at, made)) = self.open.next().await else { return pending().await };
        self.trying.retain(|other| *other != at);
        match &made {
            Ok(_) => self.shared.addresses.choose(at),
            Err(_) => self.shared.addresses.give_way(at),
        }
        (at, made)
    }
}
