//! Links over TLS.

use std::{
    fmt, io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use daffi_transport::{
    BindError, BoxFuture, ConnectError, Connector, Endpoint, EndpointError, HttpOffer, HttpUpgrade, Link, LinkConfig,
    Listener, PeerInfo, Pending, Phase,
};
use daffi_transport_tcp::{AddressOrder, StreamListener, TcpPath, check_to_connect, connect_stream_by, movable};
use rustls::pki_types::ServerName;
use tokio::io::split;
use tokio_rustls::TlsAcceptor;

use crate::{ClientTls, ServerTls, TlsError, TlsHandshake, TlsStream, names::names, openssl_command};

/// The scheme of this transport.
pub const SCHEME: &str = "tls";

fn check(endpoint: &Endpoint) -> Result<&str, EndpointError> {
    if endpoint.scheme() == SCHEME {
        Ok(endpoint.host_port()?.0)
    } else {
        Err(EndpointError::new(endpoint, "the TLS transport takes tls://host:port"))
    }
}

/// The host, and as whom it is verified.
fn server_name(endpoint: &Endpoint) -> Result<(&str, ServerName<'static>), EndpointError> {
    let host = check(endpoint)?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| EndpointError::new(endpoint, "the host is no name or address that TLS can verify"))?;
    Ok((host, name))
}

/// Listens on `tls://host:port`. Dropping it stops listening; links that came from it stay.
pub struct TlsListener {
    streams: StreamListener,
    tls: ServerTls,
    http: Option<Arc<dyn HttpUpgrade>>,
}

impl TlsListener {
    /// Listens on the first address of the endpoint that can be bound. Cancel safe.
    ///
    /// A certificate that clients will refuse is logged as a warning ([`ServerTls::weakness`]).
    ///
    /// # Errors
    /// [`BindError::Endpoint`] when the endpoint is not `tls://host:port`; [`BindError::Io`] when
    /// the host name can't be resolved (the error names it) or no address can be bound.
    pub async fn bind(endpoint: &Endpoint, tls: ServerTls) -> Result<Self, BindError> {
        check(endpoint)?;
        Ok(Self::over(StreamListener::bind(endpoint).await?, tls))
    }

    /// Takes a TCP socket that listens already and that whoever handed it over keeps: see
    /// [`StreamListener::handed_over`].
    ///
    /// A certificate that clients will refuse is logged as a warning ([`ServerTls::weakness`]).
    ///
    /// # Errors
    /// An error of the operating system.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn handed_over(socket: std::net::TcpListener, tls: ServerTls) -> io::Result<Self> {
        Ok(Self::over(StreamListener::handed_over(SCHEME, socket)?, tls))
    }

    fn over(streams: StreamListener, tls: ServerTls) -> Self {
        if let Some(reason) = tls.weakness() {
            let endpoint = streams.endpoint();
            let host = endpoint.host_port().map_or("localhost", |(host, _)| host);
            tracing::warn!(
                %endpoint,
                reason,
                remedy = openssl_command(host),
                "clients that verify certificates will refuse the one of this listener: make another, as with `remedy`, for \
                 the host that clients connect to"
            );
        }
        Self { streams, tls, http: None }
    }

    /// Hands connections that begin with an HTTP request, inside TLS, to `upgrade`: WebSockets.
    /// Without it they are refused.
    #[must_use]
    pub fn with_http(mut self, upgrade: Arc<dyn HttpUpgrade>) -> Self {
        self.http = Some(upgrade);
        self
    }

    /// The next connection as a byte stream to be, for other protocols over TLS.
    ///
    /// # Errors
    /// An error of the operating system, such as no file descriptor left; the listener stays
    /// usable.
    pub fn poll_accept_stream(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<TlsHandshake>> {
        let (stream, address) = ready!(self.streams.poll_accept(cx))?;
        let peer = PeerInfo::new(SCHEME, address.to_string());
        Poll::Ready(Ok(TlsHandshake::new(peer, stream, TlsAcceptor::from(self.tls.config()))))
    }
}

impl Listener for TlsListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>, config: &LinkConfig) -> Poll<io::Result<Pending>> {
        let handshake = ready!(self.poll_accept_stream(cx))?;
        let (config, http) = (*config, self.http.clone());
        Poll::Ready(Ok(Pending::new(handshake.peer.clone(), async move {
            let (stream, peer) = handshake.complete().await?;
            let path = TcpPath::of(stream.tcp());
            let local = stream.tcp().local_addr().ok().map(|address| address.ip());
            let http = http.map(|upgrade| HttpOffer { upgrade, local });
            let (reader, writer) = split(stream);
            Ok(Link::accept_or_upgrade(reader, writer, &config, peer, http).await?.with_path(path))
        })))
    }

    fn endpoint(&self) -> &Endpoint {
        self.streams.endpoint()
    }

    fn is_handed_over(&self) -> bool {
        self.streams.is_handed_over()
    }
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener").field("streams", &self.streams).finish_non_exhaustive()
    }
}

/// Connects to `tls://host:port`, resolving the host anew each time. It sends the host as SNI if
/// that is a name.
#[derive(Clone)]
pub struct TlsConnector {
    endpoint: Endpoint,
    tls: tokio_rustls::TlsConnector,
    verifies: bool,
    order: AddressOrder,
}

impl TlsConnector {
    /// A connector to that endpoint. What is wrong with it shows when connecting.
    #[must_use]
    pub fn new(endpoint: Endpoint, tls: ClientTls) -> Self {
        let verifies = tls.verifies();
        Self { endpoint, tls: Arc::new(tls.config()).into(), verifies, order: AddressOrder::default() }
    }

    /// Shares which of several addresses is tried last with others who connect to the same host.
    #[must_use]
    pub fn order(mut self, order: AddressOrder) -> Self {
        self.order = order;
        self
    }

    /// Makes a new connection as a byte stream, for other protocols over TLS, and the peer with its
    /// certificate if that was verified.
    ///
    /// With TLS 1.3 the server looks at our certificate after this is over, so that a refusal shows
    /// when reading. Cancel safe: a dropped attempt is given up.
    ///
    /// # Errors
    /// [`ConnectError::Endpoint`] when the endpoint is not `tls://host:port`;
    /// [`ConnectError::Failed`] with a [`TlsError`] in phase [`Phase::Tls`], with an error of the
    /// operating system in others.
    pub async fn connect_stream(&self) -> Result<(TlsStream, PeerInfo), ConnectError> {
        let (host, name) = server_name(&self.endpoint)?;
        let (stream, address) = connect_stream_by(&self.endpoint, &self.order).await?;
        let stream = match self.tls.connect(name, movable(stream)).await {
            Ok(stream) => TlsStream::new(stream),
            Err(error) => {
                return Err(ConnectError::failed(&self.endpoint, Phase::Tls, TlsError::of(error, Some(host))));
            }
        };
        let mut peer = PeerInfo::new(SCHEME, address.to_string());
        peer.certificate = stream.peer_certificate().filter(|_| self.verifies);
        peer.certificate_names = peer.certificate.as_deref().map(names).unwrap_or_default();
        Ok((stream, peer))
    }
}

impl Connector for TlsConnector {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let (connector, config) = (self.clone(), *config);
        Box::pin(async move {
            let (stream, peer) = connector.connect_stream().await?;
            let path = TcpPath::of(stream.tcp());
            let (reader, writer) = split(stream);
            Ok(Link::connect_over(reader, writer, &config, peer).with_path(path))
        })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn check(&self) -> Result<(), EndpointError> {
        server_name(&self.endpoint)?;
        check_to_connect(&self.endpoint)
    }

    fn give_way(&self) {
        self.order.give_way();
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector")
            .field("endpoint", &self.endpoint)
            .field("verifies", &self.verifies)
            .finish_non_exhaustive()
    }
}
