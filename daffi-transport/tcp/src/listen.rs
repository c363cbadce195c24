//! A listening socket that gives byte streams.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll, ready},
};

use daffi_transport::{BindError, Endpoint};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{
    resolve::{ResolveError, resolve},
    socket::{BACKLOG, canonical, configure, join_failures},
};

/// A listening TCP socket for an endpoint of any scheme, for transports that run on top of TCP.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(async {
/// use daffi_transport_tcp::StreamListener;
/// let listener = StreamListener::bind(&"tls://127.0.0.1:0".parse().unwrap()).await.unwrap();
/// assert_ne!(listener.endpoint().host_port().unwrap().1, 0);
/// # });
/// ```
#[derive(Debug)]
pub struct StreamListener {
    socket: TcpListener,
    endpoint: Endpoint,
    handed_over: bool,
}

impl StreamListener {
    /// Listens on the first address of the endpoint that can be bound, with `SO_REUSEADDR` and a
    /// backlog of [`BACKLOG`].
    ///
    /// Cancel safe: a dropped attempt leaves nothing behind.
    ///
    /// # Errors
    /// [`BindError::Endpoint`] when the endpoint is not `host:port`; [`BindError::Io`] when the
    /// host name can't be resolved (the error names it) or no address can be bound.
    pub async fn bind(endpoint: &Endpoint) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { endpoint: endpoint.clone(), source };
        let addresses = resolve(endpoint).await.map_err(|error| match error {
            ResolveError::Endpoint(error) => error.into(),
            ResolveError::Host(source) => failed(source),
        })?;
        let mut failures = Vec::new();
        for address in addresses {
            match listen(address).and_then(|socket| Ok((socket.local_addr()?, socket))) {
                Ok((local, socket)) => {
                    return Ok(Self { socket, endpoint: with_port(endpoint, local.port())?, handed_over: false });
                }
                Err(error) => failures.push((address, error)),
            }
        }
        Err(failed(join_failures(failures)))
    }

    /// Takes a socket that listens already and that whoever handed it over keeps: a supervisor,
    /// which hands it to the next process as well. `scheme` is that of the transport on top.
    ///
    /// # Errors
    /// An error of the operating system.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn handed_over(scheme: &str, socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let endpoint = Endpoint::new(scheme, &socket.local_addr()?.to_string()).map_err(io::Error::other)?;
        Ok(Self { socket: TcpListener::from_std(socket)?, endpoint, handed_over: true })
    }

    /// The next connection, with its options set, and the peer's address. Connections that broke
    /// before they were accepted are passed over.
    ///
    /// # Errors
    /// An error of the operating system, such as no file descriptor left; the listener stays
    /// usable.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        loop {
            match ready!(self.socket.poll_accept(cx)) {
                // A socket refuses its options only when its peer is gone already.
                Ok((stream, address)) if configure(&stream).is_ok() => {
                    return Poll::Ready(Ok((stream, canonical(address))));
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Where it listens, with the real port in place of 0.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether it was [handed over](Self::handed_over).
    #[must_use]
    pub const fn is_handed_over(&self) -> bool {
        self.handed_over
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On Windows the option means something else: two listeners on one port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn with_port(endpoint: &Endpoint, port: u16) -> Result<Endpoint, BindError> {
    let (host, _) = endpoint.host_port()?;
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Ok(Endpoint::new(endpoint.scheme(), &address)?)
}
