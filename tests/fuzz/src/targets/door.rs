//! A transport whose other end is a raw byte stream in the hands of a target.

use std::{
    io,
    task::{Context, Poll, ready},
};

use daffi_transport::{
    BoxFuture, ConnectError, Connector, Endpoint, Link, LinkConfig, Listener, PeerInfo, Pending, Phase,
};
use tokio::{
    io::{DuplexStream, duplex, split},
    sync::mpsc,
};

/// Bytes on their way before a writer waits.
const PIPE: usize = 16 * 1024;

fn endpoint() -> Endpoint {
    Endpoint::new("door", "fuzz").expect("two words are an endpoint")
}

/// Lets connections in.
#[derive(Clone, Debug)]
pub(super) struct Door(mpsc::UnboundedSender<DuplexStream>);

impl Door {
    /// A door and what listens behind it.
    pub(super) fn new() -> (Self, Behind) {
        let (sender, incoming) = mpsc::unbounded_channel();
        (Self(sender), Behind { incoming, endpoint: endpoint() })
    }

    /// Our end of a new connection.
    pub(super) fn connect(&self) -> Option<DuplexStream> {
        let (ours, theirs) = duplex(PIPE);
        self.0.send(theirs).ok().map(|()| ours)
    }

    pub(super) fn connector(&self) -> Box<dyn Connector> {
        Box::new(Through { door: self.clone(), endpoint: endpoint() })
    }
}

/// Listens behind a [`Door`]; without a node, gives the raw streams.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) incoming: mpsc::UnboundedReceiver<DuplexStream>,
    endpoint: Endpoint,
}

impl Listener for Behind {
    fn poll_accept(&mut self, cx: &mut Context<'_>, config: &LinkConfig) -> Poll<io::Result<Pending>> {
        let Some(stream) = ready!(self.incoming.poll_recv(cx)) else { return Poll::Pending };
        let ((reader, writer), config) = (split(stream), *config);
        let peer = PeerInfo::new("door", "peer");
        Poll::Ready(Ok(Pending::new(
            peer.clone(),
            async move { Link::accept_over(reader, writer, &config, peer).await },
        )))
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

#[derive(Debug)]
struct Through {
    door: Door,
    endpoint: Endpoint,
}

impl Connector for Through {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let (stream, endpoint, config) = (self.door.connect(), self.endpoint.clone(), *config);
        Box::pin(async move {
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let stream = stream.ok_or_else(|| ConnectError::failed(&endpoint, Phase::Connect, refused()))?;
            let (reader, writer) = split(stream);
            Ok(Link::connect_over(reader, writer, &config, PeerInfo::new("door", "server")))
        })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}
