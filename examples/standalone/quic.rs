//! QUIC as a transport, by the crate `quinn`: one stream of each connection is a link.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use daffi::{
    prelude::*,
    transport::{
        AcceptError, BoxFuture, ConnectError, Connector, Endpoint, Link, LinkConfig, Listener, PeerInfo, Pending, Phase,
    },
};
use quinn::{
    ClientConfig, Incoming, SendStream, ServerConfig, TransportConfig,
    rustls::{
        RootCertStore,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use tokio::io::AsyncWrite;

/// The folder with the certificates of the tests. A program of yours has its own.
const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../daffi-transport/tls/tests/fixtures");

type Problem = Box<dyn std::error::Error>;

/// Connects to one server, again each time the client asks for it.
struct QuicConnector {
    socket: quinn::Endpoint,
    server: SocketAddr,
    endpoint: Endpoint,
}

impl QuicConnector {
    fn new(server: &Endpoint) -> Result<Self, Problem> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(format!("{CERTIFICATES}/authority.pem"))?)?;
        let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
        // QUIC ends a connection on which nothing has passed for 30 s.
        let mut transport = TransportConfig::default();
        transport.keep_alive_interval(Some(Duration::from_secs(10)));
        config.transport_config(Arc::new(transport));
        let mut socket = quinn::Endpoint::client(SocketAddr::from(([0; 4], 0)))?;
        socket.set_default_client_config(config);
        Ok(Self { socket, server: server.address().parse()?, endpoint: server.clone() })
    }
}

impl Connector for QuicConnector {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let (socket, server, endpoint, config) = (self.socket.clone(), self.server, self.endpoint.clone(), *config);
        Box::pin(async move {
            let failed = |error| ConnectError::failed(&endpoint, Phase::Connect, error);
            let connecting = socket.connect(server, "localhost").map_err(|error| failed(io::Error::other(error)))?;
            let connection = connecting.await.map_err(|error| failed(error.into()))?;
            let (writer, reader) = connection.open_bi().await.map_err(|error| failed(error.into()))?;
            Ok(Link::connect_over(reader, Writer::new(writer), &config, PeerInfo::new("quic", server.to_string())))
        })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

struct QuicListener {
    socket: quinn::Endpoint,
    endpoint: Endpoint,
    /// The next connection, while it is waited for.
    next: Option<BoxFuture<'static, Option<Incoming>>>,
}

impl QuicListener {
    fn bind(address: SocketAddr) -> Result<Self, Problem> {
        let certificates = vec![CertificateDer::from_pem_file(format!("{CERTIFICATES}/localhost.pem"))?];
        let key = PrivateKeyDer::from_pem_file(format!("{CERTIFICATES}/localhost.key"))?;
        let config = ServerConfig::with_single_cert(certificates, key)?;
        let socket = quinn::Endpoint::server(config, address)?;
        let endpoint = Endpoint::new("quic", &socket.local_addr()?.to_string())?;
        Ok(Self { socket, endpoint, next: None })
    }
}

impl Listener for QuicListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>, config: &LinkConfig) -> Poll<io::Result<Pending>> {
        let socket = self.socket.clone();
        let next = self.next.get_or_insert_with(|| Box::pin(async move { socket.accept().await }));
        let arrived = ready!(next.as_mut().poll(cx));
        self.next = None;
        let Some(incoming) = arrived else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };

        let (peer, config) = (PeerInfo::new("quic", incoming.remote_address().to_string()), *config);
        // The handshake happens beside the accept loop, under the node's timeout for it.
        let upgrade = {
            let peer = peer.clone();
            async move {
                let failed = |error| AcceptError::failed(Phase::Opening, error);
                let connection = incoming.await.map_err(failed)?;
                let (writer, reader) = connection.accept_bi().await.map_err(failed)?;
                Link::accept_over(reader, Writer::new(writer), &config, peer).await
            }
        };
        Poll::Ready(Ok(Pending::new(peer, upgrade)))
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// A stream that ends when the peer has acknowledged all of it: with the last handle of a
/// connection QUIC forgets what is still on its way.
struct Writer {
    stream: SendStream,
    acknowledged: Option<BoxFuture<'static, ()>>,
}

impl Writer {
    const fn new(stream: SendStream) -> Self {
        Self { stream, acknowledged: None }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.stream), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, acknowledged } = &mut *self;
        let acknowledged = acknowledged.get_or_insert_with(|| {
            let _ended_already = stream.finish();
            let stopped = stream.stopped();
            Box::pin(async { drop(stopped.await) })
        });
        acknowledged.as_mut().poll(cx).map(Ok)
    }
}

#[callback]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let [] = daffi_examples::options([]);
    let listener = QuicListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let endpoint = listener.endpoint().clone();
    let service = Service::builder("adder").callbacks(callbacks![add]).listen(vec![Box::new(listener)])?;
    println!("listening on {endpoint}");

    let client = Client::builder("caller").connect_with(Box::new(QuicConnector::new(&endpoint)?)).await?;
    let sum: i64 = client.rpc().call("add", (3, 4)).await?;
    println!("add(3, 4) = {sum}");
    client.stop().await;
    service.stop().await;
    Ok(())
}
