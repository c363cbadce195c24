//! Links over Unix sockets.

use std::{
    io,
    net::Shutdown,
    os::fd::AsFd,
    path::Path,
    task::{Context, Poll, ready},
};

use daffi_transport::{
    BindError, BoxFuture, ConnectError, Connector, Endpoint, EndpointError, Link, LinkConfig, Listener, Movable,
    PeerInfo, Pending, Phase,
};
use socket2::SockRef;
use tokio::{io::split, net::UnixStream};

use crate::{
    SocketOptions,
    file::{SocketFile, about_socket, bind, check_length},
};

/// The scheme of this transport.
pub const SCHEME: &str = "unix";

fn path_of(endpoint: &Endpoint) -> Result<&Path, EndpointError> {
    if endpoint.scheme() != SCHEME {
        return Err(EndpointError::new(endpoint, "the Unix socket transport takes unix:///path"));
    }
    if endpoint.address().contains('\0') {
        return Err(EndpointError::new(endpoint, "a path has no NUL in it"));
    }
    Ok(Path::new(endpoint.address()))
}

/// Listens on a Unix socket. Dropping it stops listening and removes the socket file if it is still
/// the one that was made; links that came from it stay. The file of a socket that was handed over
/// is its owner's, and stays.
#[derive(Debug)]
pub struct UnixListener {
    // It is declared before the socket, and so dropped before it: see `SocketFile`.
    file: Option<SocketFile>,
    socket: tokio::net::UnixListener,
    endpoint: Endpoint,
}

impl UnixListener {
    /// Listens on the path of the endpoint.
    ///
    /// Of several processes that start on one path at the same time one gets it.
    ///
    /// # Errors
    /// [`BindError::Endpoint`] when the endpoint is not `unix://path`. [`BindError::Io`] with
    /// - `InvalidInput` when the path has more than [`MAX_PATH_BYTES`](crate::MAX_PATH_BYTES)
    ///   bytes,
    /// - `AddrInUse` when a process listens there already,
    /// - `AlreadyExists` when something is there that is not a socket,
    /// - what else the system says, when the directory is missing for one.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn bind(endpoint: &Endpoint) -> Result<Self, BindError> {
        Self::bind_with(endpoint, SocketOptions::new())
    }

    /// Listens as [`bind`](Self::bind) does, with a say in who may connect.
    ///
    /// # Errors
    /// As [`bind`](Self::bind); [`BindError::Io`] when the system refuses the mode or the group,
    /// too.
    ///
    /// # Panics
    /// As [`bind`](Self::bind).
    pub fn bind_with(endpoint: &Endpoint, options: SocketOptions) -> Result<Self, BindError> {
        let path = path_of(endpoint)?;
        let listening = |path: &Path| tokio::net::UnixListener::from_std(options.listen(path)?);
        let (socket, file) =
            bind(path, listening).map_err(|source| BindError::Io { endpoint: endpoint.clone(), source })?;
        Ok(Self { file: Some(file), socket, endpoint: endpoint.clone() })
    }

    /// Takes a socket that listens already and that whoever handed it over keeps: a supervisor,
    /// which hands it to the next process as well.
    ///
    /// # Errors
    /// `InvalidInput` when it is bound to no path, or to one that is not text; else an error of the
    /// operating system.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn handed_over(socket: std::os::unix::net::UnixListener) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let Some(path) = address.as_pathname().and_then(Path::to_str) else {
            let text = format!("the socket is bound to {address:?}, and not to a path that is text");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        let endpoint = Endpoint::new(SCHEME, path).map_err(io::Error::other)?;
        socket.set_nonblocking(true)?;
        Ok(Self { file: None, socket: tokio::net::UnixListener::from_std(socket)?, endpoint })
    }
}

impl Listener for UnixListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>, config: &LinkConfig) -> Poll<io::Result<Pending>> {
        let stream = loop {
            match ready!(self.socket.poll_accept(cx)) {
                Ok((stream, _)) => break stream,
                // The peer is gone already, so there is nothing to accept, and nothing is wrong
                // with the listener.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        };
        let (mut peer, config) = (PeerInfo::new(SCHEME, peer_address(&stream)), *config);
        peer.uid = stream.peer_cred().ok().map(|process| process.uid());
        let (reader, writer) = split(
            Movable::new(stream, again).with_last(|stream| drop(SockRef::from(stream).shutdown(Shutdown::Write))),
        );
        let upgrade = {
            let peer = peer.clone();
            async move { Link::accept_over(reader, writer, &config, peer).await }
        };
        Poll::Ready(Ok(Pending::new(peer, upgrade)))
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn is_handed_over(&self) -> bool {
        self.file.is_none()
    }
}

/// Another handle of the same socket.
fn again(stream: &UnixStream) -> io::Result<UnixStream> {
    let again = stream.as_fd().try_clone_to_owned()?;
    UnixStream::from_std(again.into())
}

/// The peer's own path if it has bound one, which is rare; else its process and user.
fn peer_address(stream: &UnixStream) -> String {
    if let Ok(address) = stream.peer_addr()
        && let Some(path) = address.as_pathname()
    {
        return path.display().to_string();
    }
    match stream.peer_cred() {
        Ok(peer) => match peer.pid() {
            Some(pid) => format!("pid={pid},uid={}", peer.uid()),
            None => format!("uid={}", peer.uid()),
        },
        Err(_) => "unnamed".to_owned(),
    }
}

/// Connects to a Unix socket.
#[derive(Clone, Debug)]
pub struct UnixConnector {
    endpoint: Endpoint,
}

impl UnixConnector {
    /// A connector to that endpoint. What is wrong with it shows when connecting.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

impl Connector for UnixConnector {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let (endpoint, config) = (self.endpoint.clone(), *config);
        Box::pin(async move {
            let path = path_of(&endpoint)?;
            let failed = |error| ConnectError::failed(&endpoint, Phase::Connect, error);
            check_length(path).map_err(failed)?;
            let (reader, writer) =
                UnixStream::connect(path).await.map_err(|error| failed(about_socket(path, error)))?.into_split();
            Ok(Link::connect_over(reader, writer, &config, PeerInfo::new(SCHEME, endpoint.address())))
        })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn check(&self) -> Result<(), EndpointError> {
        path_of(&self.endpoint).map(drop)
    }
}
