//! Makes transports of endpoints.

use std::sync::Arc;

use daffi_core::InitializationError;
use daffi_transport::{BindError, ConnectError, Connector, Endpoint, EndpointError, HttpUpgrade, Listener, mem};

/// What listening may need beside the endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerSettings {
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<daffi_transport_tls::ServerTls>,
    /// The origins of pages that may connect by WebSocket.
    #[cfg(feature = "ws")]
    pub(crate) origins: Vec<String>,
    #[cfg(feature = "ws")]
    pub(crate) keepalive: Option<daffi_transport_ws::Keepalive>,
    /// The permissions of Unix sockets.
    #[cfg(feature = "uds")]
    pub(crate) socket_mode: Option<u32>,
    /// The group of Unix sockets.
    #[cfg(feature = "uds")]
    pub(crate) socket_group: Option<u32>,
}

impl ServerSettings {
    /// Whether only clients come in over TLS that show a certificate.
    pub(crate) fn asks_for_certificates(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.as_ref().is_some_and(daffi_transport_tls::ServerTls::asks_for_certificates);
        #[cfg(not(feature = "tls"))]
        false
    }
}

/// What connecting may need beside the endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientSettings {
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<daffi_transport_tls::ClientTls>,
    #[cfg(feature = "ws")]
    pub(crate) keepalive: Option<daffi_transport_ws::Keepalive>,
}

/// An endpoint to listen on, with all that it needs. What can be told to be wrong before there is a
/// socket is no plan.
pub(crate) struct Plan {
    endpoint: Endpoint,
    how: How,
    /// What takes WebSockets there.
    http: Option<Arc<dyn HttpUpgrade>>,
}

enum How {
    #[cfg(feature = "tcp")]
    Tcp,
    #[cfg(feature = "uds")]
    Unix(daffi_transport_uds::SocketOptions),
    #[cfg(feature = "tls")]
    Tls(daffi_transport_tls::ServerTls),
    Mem,
    #[cfg(feature = "fd")]
    HandedOver,
    #[cfg(all(feature = "fd", feature = "tls"))]
    HandedOverTls(daffi_transport_tls::ServerTls),
}

impl Plan {
    pub(crate) fn of(endpoint: &Endpoint, settings: &ServerSettings) -> Result<Self, BindError> {
        let http = upgrade(endpoint, settings)?;
        let how = match endpoint.scheme() {
            #[cfg(feature = "tcp")]
            "tcp" => endpoint.host_port().map(|_| How::Tcp)?,
            #[cfg(feature = "uds")]
            "unix" => How::Unix(settings.socket_options()),
            #[cfg(feature = "tls")]
            "tls" => endpoint
                .host_port()
                .map_err(BindError::from)
                .and_then(|_| settings.certificate(endpoint))
                .map(How::Tls)?,
            "mem" => How::Mem,
            #[cfg(feature = "fd")]
            "fd" => How::HandedOver,
            #[cfg(all(feature = "fd", feature = "tls"))]
            "tls+fd" => How::HandedOverTls(settings.certificate(endpoint)?),
            "ws" => {
                return Err(EndpointError::new(endpoint, "listen on tcp://host:port: it takes WebSockets, too").into());
            }
            "wss" => {
                return Err(EndpointError::new(endpoint, "listen on tls://host:port: it takes WebSockets, too").into());
            }
            _ => return Err(unknown(endpoint).into()),
        };
        Ok(Self { endpoint: endpoint.clone(), how, http })
    }

    async fn bind(self, bound: &mut Bound) -> Result<(), BindError> {
        let Self { endpoint, how, http } = self;
        let _unused_without_tcp_and_tls = &http;
        let listener: Box<dyn Listener> = match how {
            #[cfg(feature = "tcp")]
            How::Tcp => over_tcp(daffi_transport_tcp::TcpListener::bind(&endpoint).await?, http),
            #[cfg(feature = "uds")]
            How::Unix(options) => Box::new(daffi_transport_uds::UnixListener::bind_with(&endpoint, options)?),
            #[cfg(feature = "tls")]
            How::Tls(tls) => over_tls(daffi_transport_tls::TlsListener::bind(&endpoint, tls).await?, http),
            How::Mem => Box::new(mem::MemListener::bind(&endpoint)?),
            #[cfg(feature = "fd")]
            How::HandedOver => {
                use crate::handed_over::Socket;
                let failed = |source| BindError::Io { endpoint: endpoint.clone(), source };
                match bound.lease(&endpoint)? {
                    Socket::Tcp(socket) => {
                        over_tcp(daffi_transport_tcp::TcpListener::handed_over(socket).map_err(failed)?, http)
                    }
                    Socket::Unix(socket) => {
                        Box::new(daffi_transport_uds::UnixListener::handed_over(socket).map_err(failed)?)
                    }
                }
            }
            #[cfg(all(feature = "fd", feature = "tls"))]
            How::HandedOverTls(tls) => {
                use crate::handed_over::Socket;
                let failed = |source| BindError::Io { endpoint: endpoint.clone(), source };
                let Socket::Tcp(socket) = bound.lease(&endpoint)? else {
                    let rule = "TLS needs a TCP socket, and this is a Unix socket";
                    return Err(EndpointError::new(&endpoint, rule).into());
                };
                over_tls(daffi_transport_tls::TlsListener::handed_over(socket, tls).map_err(failed)?, http)
            }
        };
        bound.listeners.push(listener);
        Ok(())
    }
}

/// What is listened on, for a node that may still not start: then sockets that were handed over to
/// this process can be taken again.
#[derive(Default)]
pub(crate) struct Bound {
    listeners: Vec<Box<dyn Listener>>,
    #[cfg(feature = "fd")]
    leases: Vec<crate::handed_over::Lease>,
}

impl Bound {
    /// Listens on all of them, or on none.
    pub(crate) async fn all(plans: Vec<Plan>) -> Result<Self, BindError> {
        let mut bound = Self::default();
        for plan in plans {
            plan.bind(&mut bound).await?;
        }
        Ok(bound)
    }

    #[cfg(feature = "fd")]
    fn lease(&mut self, endpoint: &Endpoint) -> Result<crate::handed_over::Socket, BindError> {
        let (socket, lease) = crate::handed_over::lease(endpoint)?;
        self.leases.push(lease);
        Ok(socket)
    }

    /// Where they listen.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.listeners.iter().map(|listener| listener.endpoint().clone()).collect()
    }

    /// The listeners, for good.
    pub(crate) fn keep(self) -> Vec<Box<dyn Listener>> {
        #[cfg(feature = "fd")]
        self.leases.into_iter().for_each(crate::handed_over::Lease::keep);
        self.listeners
    }
}

#[cfg(feature = "tcp")]
fn over_tcp(listener: daffi_transport_tcp::TcpListener, http: Option<Arc<dyn HttpUpgrade>>) -> Box<dyn Listener> {
    Box::new(match http {
        Some(http) => listener.with_http(http),
        None => listener,
    })
}

#[cfg(feature = "tls")]
fn over_tls(listener: daffi_transport_tls::TlsListener, http: Option<Arc<dyn HttpUpgrade>>) -> Box<dyn Listener> {
    Box::new(match http {
        Some(http) => listener.with_http(http),
        None => listener,
    })
}

#[cfg(feature = "tls")]
impl ServerSettings {
    fn certificate(&self, endpoint: &Endpoint) -> Result<daffi_transport_tls::ServerTls, BindError> {
        let rule = "listening with TLS needs a certificate and a key: tls(..)";
        self.tls.clone().ok_or_else(|| EndpointError::new(endpoint, rule).into())
    }
}

#[cfg(feature = "uds")]
impl ServerSettings {
    fn socket_options(&self) -> daffi_transport_uds::SocketOptions {
        let options = daffi_transport_uds::SocketOptions::new();
        let options = self.socket_mode.into_iter().fold(options, |options, mode| options.mode(mode));
        self.socket_group.into_iter().fold(options, |options, group| options.group(group))
    }
}

/// Makes what takes WebSockets on a listener of TCP or TLS.
#[cfg(feature = "ws")]
fn upgrade(endpoint: &Endpoint, settings: &ServerSettings) -> Result<Option<Arc<dyn HttpUpgrade>>, BindError> {
    let keepalive = settings.keepalive.unwrap_or_default().check();
    let keepalive = keepalive.map_err(|e| BindError::Settings { endpoint: endpoint.clone(), source: Box::new(e) })?;
    let mut sockets = daffi_transport_ws::WebSockets::new().keepalive(keepalive);
    for origin in &settings.origins {
        let unusable = |e| BindError::Settings { endpoint: endpoint.clone(), source: Box::new(e) };
        sockets = sockets.allow_origin(origin.parse().map_err(unusable)?);
    }
    Ok(Some(Arc::new(sockets)))
}

#[cfg(not(feature = "ws"))]
fn upgrade(_: &Endpoint, _: &ServerSettings) -> Result<Option<Arc<dyn HttpUpgrade>>, BindError> {
    Ok(None)
}

/// Connectors to all of them, if these settings do something there.
pub(crate) fn connectors<E: AsRef<str>>(
    endpoints: impl IntoIterator<Item = E>,
    settings: &ClientSettings,
) -> Result<Vec<Box<dyn Connector>>, InitializationError> {
    let parsed: Result<Vec<Endpoint>, _> = endpoints.into_iter().map(|endpoint| endpoint.as_ref().parse()).collect();
    let endpoints = parsed.map_err(ConnectError::from)?;
    // A scheme that there is not is told before what a setting means there.
    let made = endpoints.iter().map(|endpoint| connector(endpoint.clone(), settings)).collect::<Result<_, _>>()?;
    settings.check(&endpoints)?;
    Ok(made)
}

fn connector(endpoint: Endpoint, settings: &ClientSettings) -> Result<Box<dyn Connector>, ConnectError> {
    let _unused_without_tls = settings;
    match endpoint.scheme() {
        #[cfg(feature = "tcp")]
        "tcp" => Ok(Box::new(daffi_transport_tcp::TcpConnector::new(endpoint))),
        #[cfg(feature = "uds")]
        "unix" => Ok(Box::new(daffi_transport_uds::UnixConnector::new(endpoint))),
        #[cfg(feature = "tls")]
        "tls" => {
            let tls = settings.trusting(&endpoint)?;
            Ok(Box::new(daffi_transport_tls::TlsConnector::new(endpoint, tls)))
        }
        #[cfg(feature = "ws")]
        "ws" => Ok(Box::new(websocket(endpoint, settings)?)),
        #[cfg(all(feature = "tls", feature = "ws"))]
        "wss" => {
            let tls = settings.trusting(&endpoint)?;
            Ok(Box::new(websocket(endpoint, settings)?.tls(tls)))
        }
        "mem" => Ok(Box::new(mem::MemConnector::new(endpoint))),
        _ => Err(unknown(&endpoint).into()),
    }
}

#[cfg(feature = "ws")]
fn websocket(endpoint: Endpoint, settings: &ClientSettings) -> Result<daffi_transport_ws::WsConnector, ConnectError> {
    let keepalive = settings.keepalive.unwrap_or_default().check();
    let keepalive =
        keepalive.map_err(|e| ConnectError::Settings { endpoint: endpoint.clone(), source: Box::new(e) })?;
    Ok(daffi_transport_ws::WsConnector::new(endpoint).keepalive(keepalive))
}

#[cfg(feature = "tls")]
impl ClientSettings {
    /// The settings, or else the platform's roots: leaving an option out never skips a check.
    fn trusting(&self, endpoint: &Endpoint) -> Result<daffi_transport_tls::ClientTls, ConnectError> {
        match &self.tls {
            Some(tls) => Ok(tls.clone()),
            None => daffi_transport_tls::ClientTls::platform_roots()
                .map_err(|e| ConnectError::Settings { endpoint: endpoint.clone(), source: Box::new(e) }),
        }
    }
}

fn unknown(endpoint: &Endpoint) -> EndpointError {
    let rule = "the scheme must be tcp, tls, unix, mem, ws, wss or, to listen, fd or tls+fd, with its feature of the crate daffi on";
    EndpointError::new(endpoint, rule)
}
