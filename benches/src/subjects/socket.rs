//! Sockets for the anchors, which know no library.

use std::{
    env,
    future::Future,
    io,
    path::{Path, PathBuf},
    process::id,
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{Part, Result, Transport};

/// Bytes in order, both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What a server does with a connection.
pub(crate) trait Serve: Clone + Send + Sync + 'static {
    fn serve(self, stream: impl Stream + 'static) -> impl Future<Output = io::Result<()>> + Send;
}

/// What a client does with a connection.
pub(crate) trait Use {
    type Output;

    fn with(self, stream: impl Stream + 'static) -> Self::Output;
}

/// As one type for all transports.
pub(crate) struct Boxed;

impl Use for Boxed {
    type Output = Box<dyn Stream>;

    fn with(self, stream: impl Stream + 'static) -> Box<dyn Stream> {
        Box::new(stream)
    }
}

struct Listening(tokio::task::JoinHandle<()>, Option<PathBuf>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
        if let Some(path) = &self.1 {
            let _gone = std::fs::remove_file(path);
        }
    }
}

/// Listens, and serves every connection in a task of its own.
pub(crate) async fn listen(transport: Transport, name: &str, server: impl Serve) -> Result<Part> {
    if transport == Transport::Unix {
        let path = env::temp_dir().join(format!("daffi-bench-{name}-{}", id()));
        let listener = UnixListener::bind(&path)?;
        let address = path.display().to_string();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        return Ok(Part::new(address, Listening(task, Some(path))));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let tls = if transport == Transport::Tls { Some(acceptor()?) } else { None };
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (server, tls) = (server.clone(), tls.clone());
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                match tls {
                    Some(tls) => server.serve(tls.accept(stream).await?).await,
                    None => server.serve(stream).await,
                }
            });
        }
    });
    Ok(Part::new(address, Listening(task, None)))
}

/// Connects and hands the connection over.
pub(crate) async fn connect<U: Use>(transport: Transport, address: &str, user: U) -> Result<U::Output> {
    Ok(match transport {
        Transport::Unix => user.with(UnixStream::connect(address).await?),
        Transport::Tcp | Transport::Mem => user.with(tcp(address).await?),
        Transport::Tls => {
            let name = ServerName::try_from("localhost")?;
            user.with(connector()?.connect(name, tcp(address).await?).await?)
        }
    })
}

async fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A certificate for localhost out of the TLS transport's tests.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../daffi-transport/tls/tests/fixtures").join(name)
}

fn acceptor() -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(fixture("localhost.pem"))?.collect::<std::result::Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(fixture("localhost.key"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn connector() -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture("authority.pem"))?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
