//! Connections of those who ask, and what all of them see.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Extension, Router as Routes, body::Bytes};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    guard::Guard,
    routes::{Local, Shared, routes},
    snapshot::Watched,
};

/// Pages that follow at once. Each holds one event at most that it has not read.
const PAGES: usize = 32;
/// Connections beside them; further ones are closed at once.
const CONNECTIONS: usize = 32;
/// From a connection to the head of its request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const LONGEST_HEAD: usize = 16 * 1024;
/// After it a connection ends and a page asks anew: who reads nothing is not kept for ever.
const LONGEST_ANSWER: Duration = Duration::from_secs(600);
/// How often pages are told.
const TELL: Duration = Duration::from_secs(1);
/// After the system refused to accept, for want of file descriptors for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers until it is dropped, and with it all connections.
pub(crate) async fn serve(listener: TcpListener, node: Watched, guard: Arc<Guard>) {
    let since = Instant::now();
    let live = Live::new(node.clone(), since);
    let telling = live.clone().tell();
    let routes = routes(Shared { node, guard, live, since });
    tokio::join!(telling, accept(listener, routes));
}

async fn accept(listener: TcpListener, routes: Routes) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS + PAGES));
    let mut serving = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Ok(permit) = Arc::clone(&connections).try_acquire_owned() {
                    serving.spawn(converse(stream, routes.clone(), permit));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "nobody can ask what the node does: no connection can be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
        while serving.try_join_next().is_some() {}
    }
}

/// One connection: one request, and its answer.
async fn converse(stream: TcpStream, routes: Routes, _counted: OwnedSemaphorePermit) {
    let Ok(local) = stream.local_addr() else { return };
    let service = TowerToHyperService::new(routes.layer(Extension(Local(local.ip()))));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LONGEST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // How it ended says nothing that anybody could mend.
    let _ended = timeout(LONGEST_ANSWER, serving).await;
}

/// What all pages see: made once a second, and for all of them once.
#[derive(Clone)]
pub(crate) struct Live {
    node: Watched,
    since: Instant,
    event: watch::Sender<Bytes>,
    pages: Arc<Semaphore>,
}

/// A page that follows.
pub(crate) struct Page {
    first: Option<Bytes>,
    event: watch::Receiver<Bytes>,
    _counted: OwnedSemaphorePermit,
}

impl Live {
    fn new(node: Watched, since: Instant) -> Self {
        Self { node, since, event: watch::Sender::new(Bytes::new()), pages: Arc::new(Semaphore::new(PAGES)) }
    }

    /// One more page, if there are not too many.
    pub(crate) fn look(&self) -> Option<Page> {
        let counted = Arc::clone(&self.pages).try_acquire_owned().ok()?;
        Some(Page { first: Some(self.now()), event: self.event.subscribe(), _counted: counted })
    }

    async fn tell(self) {
        let mut turns = interval(TELL);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            if self.event.receiver_count() > 0 {
                self.event.send_replace(self.now());
            }
        }
    }

    /// The event of this moment.
    fn now(&self) -> Bytes {
        match serde_json::to_string(&self.node.snapshot(self.since)) {
            Ok(json) => format!("data: {json}\n\n").into(),
            Err(error) => {
                tracing::error!(%error, "what the node does cannot be written as JSON");
                Bytes::new()
            }
        }
    }
}

impl Page {
    /// The next event, the first at once. Events that the page is too slow for are passed over.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        self.event.changed().await.ok()?;
        Some(self.event.borrow_and_update().clone())
    }
}
