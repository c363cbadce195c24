//! Links inside one process: `mem://name`, and a pair without a name for tests.

use std::{
    collections::HashMap,
    io,
    sync::{LazyLock, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::{
    io::{DuplexStream, duplex, split},
    sync::mpsc,
};

use crate::{
    BindError, BoxFuture, ConnectError, Connector, Endpoint, Link, LinkConfig, Listener, PeerInfo, Pending, Phase,
};

/// Bytes that travel between the two ends before a writer waits.
const PIPE_BYTES: usize = 64 * 1024;

/// Connections that wait to be accepted.
const BACKLOG: usize = 512;

static NAMES: LazyLock<Mutex<HashMap<String, mpsc::Sender<DuplexStream>>>> = LazyLock::new(Mutex::default);

/// Two ends of one connection: the connecting and the accepting one.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use daffi_transport::{LinkConfig, mem};
/// let (client, server) = mem::pair(&LinkConfig::default());
/// assert_eq!(client.peer.scheme, "mem");
/// # drop(server);
/// # });
/// ```
#[must_use]
pub fn pair(config: &LinkConfig) -> (Link, BoxFuture<'static, Result<Link, crate::AcceptError>>) {
    let (ours, theirs) = duplex(PIPE_BYTES);
    let config = *config;
    (client(ours, &config, "pair"), Box::pin(async move { server(theirs, &config, "pair".into()).await }))
}

fn client(stream: DuplexStream, config: &LinkConfig, name: &str) -> Link {
    let (reader, writer) = split(stream);
    Link::connect_over(reader, writer, config, PeerInfo::new("mem", name))
}

async fn server(stream: DuplexStream, config: &LinkConfig, name: String) -> Result<Link, crate::AcceptError> {
    let (reader, writer) = split(stream);
    Link::accept_over(reader, writer, config, PeerInfo::new("mem", name)).await
}

/// Listens under a name that is known in this process only.
#[derive(Debug)]
pub struct MemListener {
    endpoint: Endpoint,
    incoming: mpsc::Receiver<DuplexStream>,
}

impl MemListener {
    /// Takes the name.
    ///
    /// # Errors
    /// [`BindError::Io`] with `AddrInUse` when the name is taken.
    pub fn bind(endpoint: &Endpoint) -> Result<Self, BindError> {
        let (sender, incoming) = mpsc::channel(BACKLOG);
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if names.get(endpoint.address()).is_some_and(|sender| !sender.is_closed()) {
            let source = io::Error::from(io::ErrorKind::AddrInUse);
            return Err(BindError::Io { endpoint: endpoint.clone(), source });
        }
        names.insert(endpoint.address().to_owned(), sender);
        Ok(Self { endpoint: endpoint.clone(), incoming })
    }
}

impl Drop for MemListener {
    fn drop(&mut self) {
        self.incoming.close();
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if names.get(self.endpoint.address()).is_some_and(mpsc::Sender::is_closed) {
            names.remove(self.endpoint.address());
        }
    }
}

impl Listener for MemListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>, config: &LinkConfig) -> Poll<io::Result<Pending>> {
        let Some(stream) = ready!(self.incoming.poll_recv(cx)) else {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::NotConnected)));
        };
        let (name, config) = (self.endpoint.address().to_owned(), *config);
        let peer = PeerInfo::new("mem", &*name);
        Poll::Ready(Ok(Pending::new(peer, async move { server(stream, &config, name).await })))
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// Connects to a [`MemListener`] of this process.
#[derive(Clone, Debug)]
pub struct MemConnector {
    endpoint: Endpoint,
}

impl MemConnector {
    /// A connector to that name.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

impl Connector for MemConnector {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let (endpoint, config) = (self.endpoint.clone(), *config);
        Box::pin(async move {
            let refused =
                || ConnectError::failed(&endpoint, Phase::Connect, io::Error::from(io::ErrorKind::ConnectionRefused));
            let sender = NAMES.lock().unwrap_or_else(PoisonError::into_inner).get(endpoint.address()).cloned();
            let (ours, theirs) = duplex(PIPE_BYTES);
            sender.ok_or_else(refused)?.send(theirs).await.map_err(|_| refused())?;
            Ok(client(ours, &config, endpoint.address()))
        })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}
