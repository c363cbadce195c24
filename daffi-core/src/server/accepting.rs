//! Connections that come: from the listener to the driver, within limits on both.

use std::{
    future::poll_fn,
    io::{self, PipeReader, PipeWriter},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use daffi_transport::{AcceptError, Endpoint, Link, LinkConfig, Listener, Pending};
use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{Host, OpeningId, Server, looker::Door};
use crate::{
    conn::{Conn, Driver},
    deadline::{in_time, later},
    error::Ended,
};

/// Pause after the operating system refused to accept, unless a connection goes before that.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The time that each step of opening a connection has at least: those before it, of TLS or
/// WebSocket, may have used up all that they have together, or this process stood still.
const LEAST_FOR_STEP: Duration = Duration::from_secs(1);

/// After so long without a failure the next one is a new one.
const OVER: Duration = Duration::from_secs(60);

/// Lives on the node's runtime until the node ends: when it is dropped before, the runtime was.
struct Lives<H: Host>(Arc<H>);

impl<H: Host> Drop for Lives<H> {
    fn drop(&mut self) {
        // This has no effect on a node that has ended.
        self.0.server().abandon(Ended::RuntimeGone);
    }
}

/// A listener is taken from. A node that takes no connections any more must not seem to live, so
/// when this task panics it ends, and whoever watches the process starts it again.
struct Accepts<'a>(&'a Server, &'a Endpoint);

impl Drop for Accepts<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(endpoint = %self.1, "the task that takes connections panicked: the node ends");
            self.0.abandon(Ended::Panicked);
        }
    }
}

/// Accepts on each listener, on tasks of their own, until the node ends.
pub(crate) fn listen<H: Host>(host: &Arc<H>, listeners: Vec<Box<dyn Listener>>) {
    let lives = Lives(Arc::clone(host));
    tokio::spawn(async move {
        lives.0.server().join().await;
    });
    for listener in listeners {
        let server = host.server();
        server.lanes.spawn_first(&server.listening, accept(Arc::clone(host), listener));
    }
}

/// A connection's own handshakes happen beside this loop.
async fn accept<H: Host>(host: Arc<H>, mut listener: Box<dyn Listener>) {
    let server = host.server();
    let config = LinkConfig::default().limits(server.config.limits);
    // What is not accepted from a listener of this process alone is lost; from another one the next
    // process takes it.
    let life = &server.life;
    let over = if listener.is_handed_over() { &life.stopping } else { &life.closing };
    let endpoint = listener.endpoint().clone();
    let _accepts = Accepts(server, &endpoint);
    let mut wanting = Wanting::new();
    loop {
        let accepted = tokio::select! {
            () = over.cancelled() => return,
            accepted = poll_fn(|cx| listener.poll_accept(cx, &config)) => accepted,
        };
        let error = match accepted {
            Ok(mut pending) => {
                pending.peer.listener = Some(endpoint.clone());
                open(&host, pending);
                // However many knock, tasks of those that are in run between two of them.
                yield_now().await;
                if server.connections.load(Ordering::Relaxed) > server.most_connections {
                    // One that was pushed out is there until its task has seen that.
                    await_one_gone(server, over).await;
                }
                continue;
            }
            Err(error) => error,
        };
        wanting.tell(&endpoint, &error);
        if is_out_of_files(&error) && !push_out(server) && wanting.refuse_one(&mut *listener, &config).await {
            yield_now().await;
            continue;
        }
        await_one_gone(server, over).await;
    }
}

/// Waits until a connection is gone, but not long.
async fn await_one_gone(server: &Server, over: &CancellationToken) {
    tokio::select! {
        () = over.cancelled() => {}
        () = server.freed.notified() => {}
        () = sleep(ACCEPT_PAUSE) => {}
    }
}

/// A listener that the system gave no connection, for want of file descriptors most of all.
struct Wanting {
    failures: u64,
    last: Option<Instant>,
    /// Descriptors to take a connection with that has to be refused.
    reserve: Option<(PipeReader, PipeWriter)>,
}

impl Wanting {
    fn new() -> Self {
        Self { failures: 0, last: None, reserve: io::pipe().ok() }
    }

    /// What goes on is told ever more seldom: a flood may cause it for each connection that it
    /// makes.
    fn tell(&mut self, endpoint: &Endpoint, error: &io::Error) {
        let now = Instant::now();
        if self.last.replace(now).is_none_or(|last| now.duration_since(last) > OVER) {
            self.failures = 0;
        }
        self.failures += 1;
        let failures = self.failures;
        if failures.is_power_of_two() {
            let remedy = is_out_of_files(error).then_some(OUT_OF_FILES);
            tracing::warn!(%endpoint, %error, remedy, failures, "cannot accept connections; trying again");
        }
    }

    /// Takes one connection and closes it: whoever waits hears so, and those behind it come nearer.
    /// `false`: there is none, or no descriptor for it.
    async fn refuse_one(&mut self, listener: &mut dyn Listener, config: &LinkConfig) -> bool {
        if self.reserve.take().is_none() {
            self.reserve = io::pipe().ok();
            return false;
        }
        let taken = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx, config))).await;
        let is_refused = matches!(&taken, Poll::Ready(Ok(_)));
        drop(taken);
        self.reserve = io::pipe().ok();
        is_refused
    }
}

const OUT_OF_FILES: &str = "raise `ulimit -n`, in systemd LimitNOFILE=, or lower `max_connections`";

/// Whether too many files are open, of which each connection is one, in this process or on the
/// whole machine.
fn is_out_of_files(error: &io::Error) -> bool {
    // The numbers are the same on every Unix.
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// One open connection, which is counted until this is dropped with its task.
struct OpenConnection<H: Host>(Arc<H>);

impl<H: Host> Drop for OpenConnection<H> {
    fn drop(&mut self) {
        let server = self.0.server();
        server.connections.fetch_sub(1, Ordering::Relaxed);
        server.freed.notify_one();
    }
}

/// Closes the oldest connection that has not finished its handshake. `false`: there is none.
fn push_out(server: &Server) -> bool {
    match server.opening.lock().pop_first() {
        Some((_, oldest)) => {
            oldest.abort();
            true
        }
        None => false,
    }
}

fn open<H: Host>(host: &Arc<H>, pending: Pending) {
    let server = host.server();
    let config = &server.config;
    let limit = server.most_connections;
    if server.connections.fetch_add(1, Ordering::Relaxed) >= limit && !push_out(server) {
        server.connections.fetch_sub(1, Ordering::Relaxed);
        if limit < config.max_connections {
            tracing::warn!(peer = %pending.peer, limit, remedy = OUT_OF_FILES, "refused a connection: no more files may be open");
        } else {
            tracing::warn!(peer = %pending.peer, limit, "refused a connection: max_connections reached");
        }
        return;
    }
    let counted = OpenConnection(Arc::clone(host));
    let mut opening = server.opening.lock();
    // A flood of silent connections pushes out its own, not the one that speaks.
    while opening.len() >= server.changeable().max_pending_handshakes.max(1) {
        let Some((_, oldest)) = opening.pop_first() else { break };
        oldest.abort();
    }
    let this = next_opening_id();
    let until = later(config.handshake_timeout);
    opening.insert(this.0, server.lanes.spawn(&server.tasks, run(counted, pending, this, until)));
}

pub(crate) fn next_opening_id() -> OpeningId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    OpeningId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs one connection, from its upgrade to its end.
async fn run<H: Host>(counted: OpenConnection<H>, pending: Pending, opening: OpeningId, until: Instant) {
    let host = &counted.0;
    let server = host.server();
    let peer = pending.peer.clone();
    // However long the way to here took, what is waited for may be the next thing that is read.
    let least = LEAST_FOR_STEP.min(server.config.handshake_timeout);
    let left = || until.saturating_duration_since(Instant::now()).max(least);
    let link = match in_time(left(), pending.upgrade()).await {
        Ok(Ok(mut link)) => {
            link.peer.listener = peer.listener;
            link
        }
        // Load balancers look as often as every second.
        Ok(Err(error @ AcceptError::Silent)) => {
            tracing::debug!(%peer, %error, "a connection was not opened");
            return server.finish_opening(opening);
        }
        Ok(Err(error)) => {
            let error: &dyn std::error::Error = &error;
            tracing::info!(%peer, error, "a connection was not opened");
            return server.finish_opening(opening);
        }
        Err(_) => {
            tracing::info!(%peer, after = ?server.config.handshake_timeout, "a connection was not opened in time");
            return server.finish_opening(opening);
        }
    };
    let driver = driver(host, link, opening, left());
    server.life.run_until_cut(driver.run()).await;
}

fn driver<H: Host>(host: &Arc<H>, link: Link, opening: OpeningId, time: Duration) -> Driver<Door<H>> {
    let server = host.server();
    let conn = Conn::new(link.peer.clone(), &server.budget);
    let handler = Door::new(host, Arc::clone(&conn), opening);
    Driver::new(link, conn, handler, &server.config, time, Some(server.long_turns.clone()))
}
