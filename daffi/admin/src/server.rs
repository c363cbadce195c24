//! Connections of those who ask, and what all of them see.

use std::{
    collections::VecDeque,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
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
    routes::{LIVE, Local, Shared, routes},
    snapshot::Watched,
};

/// Pages that follow at once. Each holds one event at most that it has not read.
const PAGES: usize = 32;
/// Connections beside them; of more, one that has asked nothing makes room, or takes its answer.
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
    connections: VecDeque<(AbortHandle, Arc<AtomicU8>)>,
}

/// What a connection has asked for: the less, the sooner it makes room.
const NOTHING: u8 = 0;
const AN_ANSWER: u8 = 1;
/// To follow, for which there are places of their own.
const A_PAGE: u8 = 2;

impl Serving {
    /// Takes one more. Of too many the oldest that has asked nothing makes room, and if all have,
    /// the oldest that still takes its answer. So neither who connects and is silent nor who asks
    /// and does not read keeps a probe out.
    fn add(&mut self, stream: TcpStream, routes: &Routes) {
        while self.tasks.try_join_next().is_some() {}
        self.connections.retain(|(task, _)| !task.is_finished());
        if self.connections.len() == CONNECTIONS + PAGES && !self.push_out() {
            return;
        }
        let asked = Arc::new(AtomicU8::new(NOTHING));
        let task = self.tasks.spawn(converse(stream, routes.clone(), Arc::clone(&asked)));
        self.connections.push_back((task, asked));
    }

    /// Ends the oldest that has asked nothing, or else the oldest that takes an answer. `false`:
    /// all are pages that follow.
    fn push_out(&mut self) -> bool {
        let oldest = |what| self.connections.iter().position(|(_, asked)| asked.load(Ordering::Relaxed) == what);
        let found = oldest(NOTHING).or_else(|| oldest(AN_ANSWER));
        let Some((task, _)) = found.and_then(|at| self.connections.remove(at)) else { return false };
        task.abort();
        true
    }
}

/// One connection: one request, and its answer.
async fn converse(stream: TcpStream, routes: Routes, asked: Arc<AtomicU8>) {
    let Ok(local) = stream.local_addr() else { return };
    let note = map_request(move |request: Request| {
        let what = if request.uri().path() == LIVE { A_PAGE } else { AN_ANSWER };
        asked.store(what, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// One that asks and waits; its answer never ends.
    async fn ask(to: std::net::SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(to).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        stream
    }

    #[tokio::test]
    async fn who_asks_and_does_not_read_keeps_nobody_out_and_pages_stay() {
        let asked = Arc::new(Semaphore::new(0));
        let hang = |asked: &Arc<Semaphore>| {
            let asked = Arc::clone(asked);
            get(move || async move {
                asked.add_permits(1);
                std::future::pending::<&str>().await
            })
        };
        let routes = Routes::new().route("/slow", hang(&asked)).route(LIVE, hang(&asked));
        let routes = routes.route("/livez", get(|| async { "ok" }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let to = listener.local_addr().expect("it is bound");
        let serving = tokio::spawn(accept(listener, routes));
        let mut pages = Vec::new();
        for _ in 0..PAGES {
            pages.push(ask(to, LIVE).await);
        }
        let mut slow = Vec::new();
        for _ in 0..CONNECTIONS {
            slow.push(ask(to, "/slow").await);
        }
        asked
            .acquire_many(u32::try_from(PAGES + CONNECTIONS).expect("there are few"))
            .await
            .expect("it is open")
            .forget();
        let mut answer = String::new();
        ask(to, "/livez").await.read_to_string(&mut answer).await.expect("it is answered");
        assert!(answer.ends_with("ok"), "{answer}");
        assert_eq!(slow[0].read(&mut [0; 1]).await.unwrap_or(0), 0, "the oldest made room");
        for page in &pages {
            assert_eq!(page.try_read(&mut [0; 1]).expect_err("it goes on").kind(), std::io::ErrorKind::WouldBlock);
        }
        serving.abort();
    }
}
