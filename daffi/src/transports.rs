//! Makes transports of endpoints.

use std::sync::Arc;

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
    pub(crate) keepalive: daffi_transport_ws::Keepalive,
    /// The settings of Unix sockets.
    #[cfg(feature = "uds")]
    pub(crate) socket: daffi_transport_uds::SocketOptions,
}

/// What connecting may need beside the endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientSettings {
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<daffi_transport_tls::ClientTls>,
    #[cfg(feature = "ws")]
    pub(crate) keepalive: daffi_transport_ws::Keepalive,
}

pub(crate) async fn listen(endpoint: &Endpoint, settings: &ServerSettings) -> Result<Box<dyn Listener>, BindError> {
    let http = upgrade(endpoint, settings)?;
    let _unused_without_tcp_and_tls = &http;
    match endpoint.scheme() {
        #[cfg(feature = "tcp")]
        "tcp" => Ok(over_tcp(daffi_transport_tcp::TcpListener::bind(endpoint).await?, http)),
        #[cfg(feature = "uds")]
        "unix" => Ok(Box::new(daffi_transport_uds::UnixListener::bind_with(endpoint, settings.socket)?)),
        #[cfg(feature = "tls")]
        "tls" => {
            let tls = settings.certificate(endpoint)?;
            Ok(over_tls(daffi_transport_tls::TlsListener::bind(endpoint, tls).await?, http))
        }
        "mem" => Ok(Box::new(mem::MemListener::bind(endpoint)?)),
        #[cfg(feature = "fd")]
        "fd" => {
            use crate::handed_over::{Socket, take};
            let failed = |source| BindError::Io { endpoint: endpoint.clone(), source };
            match take(endpoint)? {
                Socket::Tcp(socket) => {
                    Ok(over_tcp(daffi_transport_tcp::TcpListener::handed_over(socket).map_err(failed)?, http))
                }
                Socket::Unix(socket) => {
                    Ok(Box::new(daffi_transport_uds::UnixListener::handed_over(socket).map_err(failed)?))
                }
            }
        }
        #[cfg(all(feature = "fd", feature = "tls"))]
        "tls+fd" => {
            use crate::handed_over::{Socket, take};
            let tls = settings.certificate(endpoint)?;
            let Socket::Tcp(socket) = take(endpoint)? else {
                return Err(EndpointError::new(endpoint, "TLS needs a TCP socket, and this is a Unix socket").into());
            };
            let listener = daffi_transport_tls::TlsListener::handed_over(socket, tls);
            Ok(over_tls(listener.map_err(|source| BindError::Io { endpoint: endpoint.clone(), source })?, http))
        }
        "ws" => Err(EndpointError::new(endpoint, "listen on tcp://host:port: it takes WebSockets, too").into()),
        "wss" => Err(EndpointError::new(endpoint, "listen on tls://host:port: it takes WebSockets, too").into()),
        _ => Err(unknown(endpoint).into()),
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

/// Makes what takes WebSockets on a listener of TCP or TLS.
#[cfg(feature = "ws")]
fn upgrade(endpoint: &Endpoint, settings: &ServerSettings) -> Result<Option<Arc<dyn HttpUpgrade>>, BindError> {
    let mut sockets = daffi_transport_ws::WebSockets::new().keepalive(settings.keepalive);
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

pub(crate) fn connector(endpoint: Endpoint, settings: &ClientSettings) -> Result<Box<dyn Connector>, ConnectError> {
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
        "ws" => Ok(Box::new(daffi_transport_ws::WsConnector::new(endpoint).keepalive(settings.keepalive))),
        #[cfg(all(feature = "tls", feature = "ws"))]
        "wss" => {
            let tls = settings.trusting(&endpoint)?;
            Ok(Box::new(daffi_transport_ws::WsConnector::new(endpoint).keepalive(settings.keepalive).tls(tls)))
        }
        "mem" => Ok(Box::new(mem::MemConnector::new(endpoint))),
        _ => Err(unknown(&endpoint).into()),
    }
}

#[cfg(feature = "tls")]
impl ClientSettings {
    /// The settings, or else the platform's roots: leaving an option out never skips a check.
    fn trusting(&self, endpoint: &Endpoint) -> Result<daffi_transport_tls::ClientTls, ConnectError> {
        match &self.tls {
            Some(tls) => Ok(tls.clone()),
            None => daffi_transport_tls::ClientTls::platform_roots()
                .map_err(|e| ConnectError::failed(endpoint, daffi_transport::Phase::Tls, e)),
        }
    }
}

fn unknown(endpoint: &Endpoint) -> EndpointError {
    let rule = "the scheme must be tcp, tls, unix, mem, ws, wss or, to listen, fd or tls+fd, with its feature of the crate daffi on";
    EndpointError::new(endpoint, rule)
}
