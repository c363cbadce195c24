//! Links in memory whose other end is the raw stream of bytes.

use std::{
    io,
    task::{Context, Poll, ready},
};

use daffi::transport::{
    BoxFuture, ConnectError, Connector, Endpoint, Link, LinkConfig, Listener, PeerInfo, Pending, Phase,
};
use tokio::{
    io::{DuplexStream, duplex, split},
    sync::mpsc,
};

/// Bytes that travel before a writer waits.
const ROOM: usize = 64 * 1024;

/// Connections that wait.
const BACKLOG: usize = 16;

const SCHEME: &str = "pipe";

/// Where peers hand in the ends of their streams, and where a node takes them.
#[must_use]
pub fn pipe() -> (mpsc::Sender<DuplexStream>, mpsc::Receiver<DuplexStream>) {
    mpsc::channel(BACKLOG)
}

/// Two ends of one stream.
pub(super) fn ends() -> (DuplexStream, DuplexStream) {
    duplex(ROOM)
}

fn endpoint() -> Endpoint {
    Endpoint::new(SCHEME, "replay").expect("a word and an address")
}

/// Accepts the streams that come through a channel.
#[derive(Debug)]
pub struct PipeListener {
    endpoint: Endpoint,
    incoming: mpsc::Receiver<DuplexStream>,
}

impl PipeListener {
    /// Accepts these.
    #[must_use]
    pub fn new(incoming: mpsc::Receiver<DuplexStream>) -> Self {
        Self { endpoint: endpoint(), incoming }
    }
}

impl Listener for PipeListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>, config: &LinkConfig) -> Poll<io::Result<Pending>> {
        let Some(stream) = ready!(self.incoming.poll_recv(cx)) else {
            // Nobody can connect any more; a node that accepts waits until it is stopped.
            return Poll::Pending;
        };
        let (peer, config) = (PeerInfo::new(SCHEME, "replay"), *config);
        let (reader, writer) = split(stream);
        Poll::Ready(Ok(Pending::new(
            peer.clone(),
            async move { Link::accept_over(reader, writer, &config, peer).await },
        )))
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// Connects by handing the other end to a channel.
#[derive(Debug)]
pub struct PipeConnector {
    endpoint: Endpoint,
    outgoing: mpsc::Sender<DuplexStream>,
}

impl PipeConnector {
    /// Hands them there.
    #[must_use]
    pub fn new(outgoing: mpsc::Sender<DuplexStream>) -> Self {
        Self { endpoint: endpoint(), outgoing }
    }
}

impl Connector for PipeConnector {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let (outgoing, config, endpoint) = (self.outgoing.clone(), *config, self.endpoint.clone());
        Box::pin(async move {
            let (ours, theirs) = ends();
            if outgoing.send(theirs).await.is_err() {
                return Err(ConnectError::failed(
                    &endpoint,
                    Phase::Connect,
                    io::Error::from(io::ErrorKind::ConnectionRefused),
                ));
            }
            let (reader, writer) = split(ours);
            Ok(Link::connect_over(reader, writer, &config, PeerInfo::new(SCHEME, "replay")))
        })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}
