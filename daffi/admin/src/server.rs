//! Connections of those who ask, and what all of them see.

use std::{
    collections::VecDeque,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Extension, Router as Routes, body::Bytes, extract::Request, middleware::map_request};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{AbortHandle, JoinSet, yield_now},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    guard::Guard,
    routes::{Local, Shared, routes},
    snapshot::Watched,
};

/// Pages that follow at once. Each holds one event at most that it has not read.
const PAGES: usize = 32;
/// Connections beside them; of more, one that has asked nothing makes room.
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
    let mut serving = Serving::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => serving.add(stream, &routes),
            Err(error) => {
                tracing::debug!(%error, "nobody can ask what the node does: no connection can be accepted");
                if serving.push_out() {
                    yield_now().await;
                } else {
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// The connections that are answered, the oldest first.
#[derive(Default)]
struct Serving {
    tasks: JoinSet<()>,
    connections: VecDeque<(AbortHandle, Arc<AtomicBool>)>,
}

impl Serving {
    /// Takes one more. Of too many the oldest that has asked nothing makes room; if all have, it is
    /// closed at once. So those who connect and are silent keep no probe out.
    fn add(&mut self, stream: TcpStream, routes: &Routes) {
        while self.tasks.try_join_next().is_some() {}
        self.connections.retain(|(task, _)| !task.is_finished());
        if self.connections.len() == CONNECTIONS + PAGES && !self.push_out() {
            return;
        }
        let has_asked = Arc::new(AtomicBool::new(false));
        let task = self.tasks.spawn(converse(stream, routes.clone(), Arc::clone(&has_asked)));
        self.connections.push_back((task, has_asked));
    }

    /// Ends the oldest that has asked nothing. `false`: all have.
    fn push_out(&mut self) -> bool {
        let silent = self.connections.iter().position(|(_, has_asked)| !has_asked.load(Ordering::Relaxed));
        let Some((task, _)) = silent.and_then(|at| self.connections.remove(at)) else { return false };
        task.abort();
        true
    }
}

/// One connection: one request, and its answer.
async fn converse(stream: TcpStream, routes: Routes, has_asked: Arc<AtomicBool>) {
    let Ok(local) = stream.local_addr() else { return };
    let note = map_request(move |request: Request| {
        has_asked.store(true, Ordering::Relaxed);
        ready(request)
    });
    let routes = routes.layer(Extension(Local(local.ip()))).layer(note);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LONGEST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
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
