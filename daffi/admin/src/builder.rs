//! What a program makes of this crate.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use daffi::{Client, ClientGroup, Router, Service};
use tokio::{
    net::{TcpListener, lookup_host},
    task::AbortHandle,
};

use crate::{
    guard::{self, Guard},
    server,
    snapshot::{Expiry, Needs, Watched, WatchedNode},
};

/// Letters of a token below which it can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// Tells over HTTP what a node does. Dropping it ends that; the node goes on.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    guard: Arc<Guard>,
    serving: AbortHandle,
}

/// Builds an [`Admin`].
#[derive(Debug)]
#[must_use = "a builder does nothing until bind() is awaited"]
pub struct AdminBuilder {
    node: Watched,
    token: Option<String>,
    hosts: Vec<String>,
}

/// Why nothing is told. `Display` is the whole sentence, and `source` gives what is behind the
/// cause.
#[derive(Debug)]
#[non_exhaustive]
pub enum AdminError {
    /// Others reach the address, and there is no token that keeps them out.
    NoToken {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The token could be guessed.
    ShortToken {
        /// Its bytes.
        length: usize,
    },
    /// No request could show the token.
    UnusableToken,
    /// No request could name the host.
    Host {
        /// What was given.
        host: String,
    },
    /// It cannot listen there.
    Bind {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken { address } => {
                write!(f, "{address} is reached by others than this machine, so a token is needed: AdminBuilder::token")
            }
            Self::ShortToken { length } => {
                write!(f, "a token of {length} bytes can be guessed: {SHORTEST_TOKEN} are the least")
            }
            Self::UnusableToken => f.write_str(
                "a token must be text without line breaks, and without blanks around it, or no request can show it",
            ),
            Self::Host { host } => {
                write!(f, "{host:?} is no host: a name or an address is expected, as in ops.example or 192.0.2.1")
            }
            Self::Bind { address, source } => write!(f, "cannot listen at {address}: {source}"),
        }
    }
}

impl Error for AdminError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bind { source, .. } => source.source(),
            Self::NoToken { .. } | Self::ShortToken { .. } | Self::UnusableToken | Self::Host { .. } => None,
        }
    }
}

impl Admin {
    /// For a Router.
    pub fn of_router(router: &Router) -> AdminBuilder {
        AdminBuilder::of(WatchedNode::Router(router.clone()))
    }

    /// For a Service.
    pub fn of_service(service: &Service) -> AdminBuilder {
        AdminBuilder::of(WatchedNode::Service(service.clone()))
    }

    /// For a Client.
    pub fn of_client(client: &Client) -> AdminBuilder {
        AdminBuilder::of(WatchedNode::Client(client.clone()))
    }

    /// For a node that is a client of several servers at once: all that its clients do, together.
    /// It takes calls as long as it is connected to one of them; the page tells of the others.
    pub fn of_group(group: &ClientGroup) -> AdminBuilder {
        AdminBuilder::of(WatchedNode::Group(group.clone()))
    }

    /// Demands this token from now on, in the place of the one before if there was one. Pages that
    /// follow what the node does have to show it, too. Gives whether it is another.
    ///
    /// # Errors
    /// [`AdminError::ShortToken`] and [`AdminError::UnusableToken`]: all stays as it is.
    pub fn set_token(&self, token: impl Into<String>) -> Result<bool, AdminError> {
        let token = token.into();
        check_token(&token)?;
        Ok(self.guard.set_token(token))
    }

    /// Whether this token can be demanded.
    ///
    /// # Errors
    /// [`AdminError::ShortToken`] and [`AdminError::UnusableToken`].
    pub fn check_token(token: &str) -> Result<(), AdminError> {
        check_token(token)
    }

    /// Whether requests to this host could be taken: it is what [`AdminBuilder::host`] takes.
    ///
    /// # Errors
    /// [`AdminError::Host`] when no request could name it.
    pub fn check_host(host: &str) -> Result<(), AdminError> {
        usable_host(host).map(drop)
    }

    /// Whether a node could be watched at `address` with this token, as far as can be told without
    /// listening there. A host name is looked up.
    ///
    /// # Errors
    /// What [`AdminBuilder::bind`] would say.
    pub async fn check(address: &str, token: Option<&str>) -> Result<(), AdminError> {
        places(address, token).await.map(drop)
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl AdminBuilder {
    fn of(node: WatchedNode) -> Self {
        Self { node: Watched { node, needs: None, expiry: None }, token: None, hosts: Vec::new() }
    }

    /// Demands this token of every request but `/livez` and `/readyz`, as `Authorization: Bearer
    /// TOKEN`. At least 16 bytes. An address that is not a loopback one cannot be bound without.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Tells when the certificate of the node ends, as `ServerTls::expires` says it: in the
    /// metrics, and on the page during its last 14 days. It is asked each time.
    pub fn certificate(mut self, expires: impl Fn() -> Option<SystemTime> + Send + Sync + 'static) -> Self {
        self.node.expiry = Some(Expiry(Arc::new(expires)));
        self
    }

    /// Has the node take calls only where `needs` says so as well, which is asked each time: what
    /// it lacks is told by `/readyz` and on the page.
    pub fn needs(mut self, needs: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.node.needs = Some(Needs(Arc::new(needs)));
        self
    }

    /// Takes requests to this host name or address too, as those that come through a proxy,
    /// whatever port they name. May be called several times.
    ///
    /// Without it the host of a request must be the address that it came to, or `localhost`.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Listens on `address`, `127.0.0.1:9090` for one; port 0 takes a free one.
    ///
    /// Cancelling: dropping the future leaves nothing listening.
    ///
    /// # Errors
    /// [`AdminError`]; nothing is listening then.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn bind(self, address: &str) -> Result<Admin, AdminError> {
        let failed = |source| AdminError::Bind { address: address.to_owned(), source };
        let hosts = self.hosts.iter().map(|host| usable_host(host)).collect::<Result<_, _>>()?;
        let found = places(address, self.token.as_deref()).await?;
        let listener = TcpListener::bind(&found[..]).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let guard = Arc::new(Guard::new(self.token, hosts));
        let serving = tokio::spawn(server::serve(listener, self.node, Arc::clone(&guard))).abort_handle();
        Ok(Admin { address, guard, serving })
    }
}

/// Where `address` is, if this token is enough there.
async fn places(address: &str, token: Option<&str>) -> Result<Vec<SocketAddr>, AdminError> {
    token.map(check_token).transpose()?;
    let failed = |source| AdminError::Bind { address: address.to_owned(), source };
    let found: Vec<SocketAddr> = lookup_host(address).await.map_err(failed)?.collect();
    match found.iter().find(|address| !is_loopback(address.ip())) {
        Some(open) if token.is_none() => Err(AdminError::NoToken { address: *open }),
        _ => Ok(found),
    }
}

fn check_token(token: &str) -> Result<(), AdminError> {
    if token.len() < SHORTEST_TOKEN {
        return Err(AdminError::ShortToken { length: token.len() });
    }
    // A header holds no more.
    if token.trim() != token || token.chars().any(char::is_control) {
        return Err(AdminError::UnusableToken);
    }
    Ok(())
}

fn usable_host(text: &str) -> Result<String, AdminError> {
    guard::host(text).ok_or_else(|| AdminError::Host { host: text.to_owned() })
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
