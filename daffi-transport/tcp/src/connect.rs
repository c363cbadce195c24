//! Connecting, as far as a byte stream.

use std::{io, net::SocketAddr};

use daffi_transport::{ConnectError, Endpoint, Phase};
use tokio::net::TcpStream;

use crate::{
    resolve::{ResolveError, resolve},
    socket::{canonical, configure, none_worked},
};

/// A TCP connection to an endpoint of any scheme, with its options set, and the address it went to; for transports that
/// run on top of TCP.
///
/// The addresses of a host name are tried one after another, without a time limit of their own. Cancel safe: a dropped
/// attempt is given up.
///
/// # Errors
/// [`ConnectError::Endpoint`] when the endpoint is not `host:port`; [`ConnectError::Failed`] when the host name can't be
/// resolved (the error names it) or no address can be reached (the error lists them, when there are several).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(async {
/// use daffi_transport_tcp::{StreamListener, connect_stream};
/// let listener = StreamListener::bind(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
/// let (stream, address) = connect_stream(listener.endpoint()).await.unwrap();
/// assert_eq!(stream.peer_addr().unwrap(), address);
/// # });
/// ```
pub async fn connect_stream(endpoint: &Endpoint) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let addresses = resolve(endpoint).await.map_err(|error| match error {
        ResolveError::Endpoint(error) => error.into(),
        ResolveError::Host(source) => ConnectError::failed(endpoint, Phase::Resolve, source),
    })?;
    let mut failures = Vec::new();
    for address in addresses {
        match connect(address).await {
            Ok(stream) => return Ok((stream, canonical(address))),
            Err(error) => failures.push((address, error)),
        }
    }
    Err(ConnectError::failed(endpoint, Phase::Connect, none_worked(failures)))
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Whoever keeps trying a free local port gets it as its own port one day, and meets itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    configure(&stream)?;
    Ok(stream)
}
