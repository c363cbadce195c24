//! Links over TCP.

use std::{
    io,
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll, ready},
};

use daffi_transport::{
    BindError, BoxFuture, ConnectError, Connector, Endpoint, EndpointError, HttpOffer, HttpUpgrade, Link, LinkConfig,
    Listener, PeerInfo, Pending,
};

use socket2::SockRef;
use tokio::io::split;

use crate::{AddressOrder, StreamListener, TcpPath, check_to_connect, connect_stream_by, movable};

/// The scheme of this transport.
pub const SCHEME: &str = "tcp";

fn check(endpoint: &Endpoint) -> Result<(), EndpointError> {
    if endpoint.scheme() == SCHEME {
        Ok(())
    } else {
        Err(EndpointError::new(endpoint, "the TCP transport takes tcp://host:port"))
    }
}

/// Listens on `tcp://host:port`. Dropping it stops listening; links that came from it stay.
#[derive(Debug)]
pub struct TcpListener {
    streams: StreamListener,
    http: Option<Arc<dyn HttpUpgrade>>,
}

impl TcpListener {
    /// Listens on the first address of the endpoint that can be bound. Cancel safe.
    ///
    /// # Errors
    /// [`BindError::Endpoint`] when the endpoint is not `tcp://host:port`; [`BindError::Io`] when
    /// the host name can't be resolved (the error names it) or no address can be bound.
    pub async fn bind(endpoint: &Endpoint) -> Result<Self, BindError> {
        check(endpoint)?;
        Ok(Self { streams: StreamListener::bind(endpoint).await?, http: None })
    }

    /// Takes a socket that listens already and that whoever handed it over keeps: see
    /// [`StreamListener::handed_over`].
    ///
    /// # Errors
    /// An error of the operating system.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn handed_over(socket: std::net::TcpListener) -> io::Result<Self> {
        Ok(Self { streams: StreamListener::handed_over(SCHEME, socket)?, http: None })
    }

    /// Hands connections that begin with an HTTP request to `upgrade`: WebSockets. Without it they
    /// are refused.
    #[must_use]
    pub fn with_http(mut self, upgrade: Arc<dyn HttpUpgrade>) -> Self {
        self.http = Some(upgrade);
        self
    }
}

impl Listener for TcpListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>, config: &LinkConfig) -> Poll<io::Result<Pending>> {
        let (stream, address) = ready!(self.streams.poll_accept(cx))?;
        let (peer, config) = (PeerInfo::new(SCHEME, address.to_string()), *config);
        let path = TcpPath::of(&stream);
        let local = stream.local_addr().ok().map(|address| address.ip());
        let http = self.http.clone().map(|upgrade| HttpOffer { upgrade, local });
        let (reader, writer) =
            split(movable(stream).with_last(|stream| drop(SockRef::from(stream).shutdown(Shutdown::Write))));
        let upgrade = {
            let peer = peer.clone();
            async move {
                let link = Link::accept_or_upgrade(reader, writer, &config, peer, http).await?;
                Ok(link.with_path(path))
            }
        };
        Poll::Ready(Ok(Pending::new(peer, upgrade)))
    }

    fn endpoint(&self) -> &Endpoint {
        self.streams.endpoint()
    }

    fn is_handed_over(&self) -> bool {
        self.streams.is_handed_over()
    }
}

/// Connects to `tcp://host:port`, resolving the host anew each time.
#[derive(Clone, Debug)]
pub struct TcpConnector {
    endpoint: Endpoint,
    order: AddressOrder,
}

impl TcpConnector {
    /// A connector to that endpoint. What is wrong with it shows when connecting.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, order: AddressOrder::default() }
    }
}

impl Connector for TcpConnector {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let (Self { endpoint, order }, config) = (self.clone(), *config);
        Box::pin(async move {
            check(&endpoint)?;
            let (stream, address) = connect_stream_by(&endpoint, &order).await?;
            let path = TcpPath::of(&stream);
            let (reader, writer) = stream.into_split();
            let peer = PeerInfo::new(SCHEME, address.to_string());
            Ok(Link::connect_over(reader, writer, &config, peer).with_path(path))
        })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn check(&self) -> Result<(), EndpointError> {
        check(&self.endpoint)?;
        check_to_connect(&self.endpoint)
    }

    fn give_way(&self) {
        self.order.give_way();
    }
}
