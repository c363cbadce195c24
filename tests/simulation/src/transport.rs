//! The transport seam over turmoil's TCP.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use daffi_transport::{
    BoxFuture, ConnectError, Connector, Endpoint, Link, LinkConfig, Listener, PeerInfo, Pending, Phase,
};
use turmoil::net::{TcpListener, TcpStream};

use crate::network::{End, Half, Network};

const SCHEME: &str = "sim";

type Accepted = io::Result<(TcpStream, std::net::SocketAddr)>;

/// Listens on a simulated host.
pub(crate) struct SimListener {
    endpoint: Endpoint,
    network: Arc<Network>,
    listener: Arc<TcpListener>,
    accepting: Option<BoxFuture<'static, Accepted>>,
}

impl std::fmt::Debug for SimListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimListener").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl SimListener {
    /// Listens on a port of the host that this runs on.
    ///
    /// # Errors
    /// When the port is taken.
    pub(crate) async fn bind(endpoint: &Endpoint, port: u16, network: Arc<Network>) -> io::Result<Self> {
        let listener = Arc::new(TcpListener::bind(("0.0.0.0", port)).await?);
        Ok(Self { endpoint: endpoint.clone(), network, listener, accepting: None })
    }
}

impl Listener for SimListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>, config: &LinkConfig) -> Poll<io::Result<Pending>> {
        let accepting = self.accepting.get_or_insert_with(|| {
            let listener = Arc::clone(&self.listener);
            Box::pin(async move { listener.accept().await })
        });
        let accepted = ready!(accepting.as_mut().poll(cx));
        self.accepting = None;
        let (stream, address) = accepted?;
        let client = turmoil::reverse_lookup(address.ip()).unwrap_or_else(|| address.to_string());
        let (peer, config) = (PeerInfo::new(SCHEME, &*client), *config);
        let pipe = self.network.pipe(address, &client);
        let (reader, writer) = stream.into_split();
        let reader = Half::new(reader, Arc::clone(&pipe), End::Server, Arc::clone(&self.network));
        let writer = Half::new(writer, pipe, End::Server, Arc::clone(&self.network));
        let upgrade = {
            let peer = peer.clone();
            async move { Link::accept_over(reader, writer, &config, peer).await }
        };
        Poll::Ready(Ok(Pending::new(peer, upgrade)))
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// Connects from one simulated host to another.
#[derive(Debug)]
pub(crate) struct SimConnector {
    endpoint: Endpoint,
    from: String,
    to: (String, u16),
    network: Arc<Network>,
}

impl SimConnector {
    /// Will connect `from` one host to a port of another.
    #[must_use]
    pub(crate) fn new(endpoint: &Endpoint, from: &str, to: &str, port: u16, network: Arc<Network>) -> Self {
        Self { endpoint: endpoint.clone(), from: from.to_owned(), to: (to.to_owned(), port), network }
    }
}

impl Connector for SimConnector {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let (endpoint, config, network) = (self.endpoint.clone(), *config, Arc::clone(&self.network));
        let (from, to) = (self.from.clone(), self.to.clone());
        Box::pin(async move {
            let failed = |error| ConnectError::failed(&endpoint, Phase::Connect, error);
            let stream = TcpStream::connect((to.0.as_str(), to.1)).await.map_err(failed)?;
            let pipe = network.pipe(stream.local_addr().map_err(failed)?, &from);
            let (reader, writer) = stream.into_split();
            let reader = Half::new(reader, Arc::clone(&pipe), End::Client, Arc::clone(&network));
            let writer = Half::new(writer, pipe, End::Client, Arc::clone(&network));
            Ok(Link::connect_over(reader, writer, &config, PeerInfo::new(SCHEME, to.0)))
        })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}
